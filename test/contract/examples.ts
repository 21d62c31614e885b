/** What a request for an operation consists of. */
export interface Example {
  params?: Record<string, string>
  query?: Record<string, string>
  body?: unknown
}

/** Ids of things that may be there. */
export interface Ids { partitionId: string, transactionId: string, leaseId: string, deadLetterId: string }

export const NOWHERE: Ids = {
  partitionId: '0000ffff-ffff-8000-8000-000000000000',
  transactionId: 'there',
  leaseId: '0000ffff-ffff-4000-8000-000000000000',
  deadLetterId: '999999'
}

const TIME = '2026-01-31T08:00:00Z'
const LABELS = { namespace: 'n', task: 't' }
const RANGE = { from: '2026-01-30', to: TIME }
const PAGE = { limit: '2', offset: '0' }
const POP = { batch: '2', partitions: '2', timeout: '20', consumerGroup: 'g', subscriptionMode: 'all', subscriptionFrom: TIME }
const CHANNEL = { channel: '11111111-2222-4333-8444-555555555555' }

/** A request for every operation that the service has nothing against, with every parameter and nearly every field that there is. */
export function examples ({ partitionId, transactionId, leaseId, deadLetterId }: Ids): Record<string, Example> {
  const message = { partitionId, transactionId }
  const ack = { ...message, status: 'completed', leaseId, error: 'none' }
  const item = { queue: 'q', partition: 'p', payload: { a: 1 }, transactionId: 'pushed', traceId: leaseId, traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'a=b' }
  const ofQueue = { queue: 'q' }
  const ofPartition = { queue: 'q', partition: 'p' }
  const search = { search: 'q', ...PAGE }
  const selection = { ids: [deadLetterId], queue: 'q', partition: 'p', consumerGroup: 'g', limit: 10 }
  return {
    getDescription: {},
    getHealth: {},
    getMetrics: {},
    getPrometheusMetrics: {},
    push: { body: { items: [item] } },
    popPartition: { params: ofPartition, query: POP },
    popQueue: { params: ofQueue, query: POP },
    popLabelled: { query: { namespace: 'n', ...POP } },
    ack: { body: { ...ack, consumerGroup: 'g' } },
    ackBatch: { body: { acknowledgments: [ack], consumerGroup: 'g' } },
    transact: { body: { operations: [{ type: 'push', items: [item] }, { type: 'push', ...item }, { type: 'ack', ...ack, consumerGroup: 'g' }], requiredLeases: [leaseId] } },
    extendLease: { params: { leaseId }, body: { seconds: 60 } },
    configureQueue: { body: { queue: 'q', namespace: 'n', task: 't', options: { leaseTime: 60, priority: -1, retentionEnabled: false }, merge: true } },
    deleteQueue: { params: { queue: 'other' } },
    deletePartition: { params: { queue: 'other', partition: 'p' } },
    clearQueue: { params: ofQueue, query: { partition: 'other' } },
    getQueue: { params: ofQueue, query: search },
    getQueueStatus: { params: ofQueue, query: search },
    listQueueStatus: { query: { ...LABELS, ...search } },
    listQueues: { query: { ...LABELS, ...search } },
    listPartitions: { query: { queue: 'q', ...LABELS, ...search } },
    listNamespaces: {},
    listTasks: {},
    getOverview: {},
    getStatus: { query: { ...RANGE, queue: 'q', ...LABELS } },
    countPushedMessages: { query: { ...RANGE, interval: 'day', queue: 'q', ...LABELS } },
    getBuffers: {},
    getSystemMetrics: { query: { ...RANGE, hostname: 'h', workerId: 'w' } },
    getWorkerMetrics: { query: { ...RANGE, hostname: 'h', workerId: '1' } },
    getQueueLag: { query: { ...RANGE, queue: 'q' } },
    getQueueOperations: { query: { ...RANGE, queue: 'q' } },
    getParkedPops: { query: { ...RANGE, queue: 'q' } },
    getRetention: { query: { ...RANGE, queue: 'q' } },
    getPostgresStats: {},
    listMessages: { query: { queue: 'q', partition: 'p', ns: 'n', task: 't', status: 'pending', ...RANGE, ...PAGE } },
    listQueueMessages: { params: ofQueue, query: PAGE },
    getMessage: { params: message },
    deleteMessage: { params: { ...message, transactionId: 'other' } },
    retryMessage: { params: message },
    moveMessageToDeadLetters: { params: message, body: { consumerGroup: 'g', error: 'poison' } },
    listDeadLetters: { query: { queue: 'q', partition: 'p', consumerGroup: 'g', ...RANGE, error: 'e', ...PAGE } },
    getDeadLetter: { params: { deadLetterId } },
    redriveDeadLetter: { params: { deadLetterId } },
    purgeDeadLetter: { params: { deadLetterId } },
    redriveDeadLetters: { body: selection },
    purgeDeadLetters: { body: selection },
    addTrace: { body: { ...message, data: { a: 1 }, eventType: 'e', consumerGroup: 'g', workerId: 'w', traceNames: ['n'] } },
    listTraceNames: { query: search },
    listTracesByName: { params: { traceName: 'n' }, query: { ...RANGE, ...PAGE } },
    listTracesOfMessage: { params: message, query: PAGE },
    listGroups: {},
    listLaggingPartitions: { query: { minLagSeconds: '0', ...PAGE } },
    getGroup: { params: { group: 'g' }, query: PAGE },
    deleteGroup: { params: { group: 'other' }, query: { deleteMetadata: 'false' } },
    deleteGroupOfQueue: { params: { group: 'other', queue: 'q' }, query: { deleteMetadata: 'false' } },
    subscribeGroup: { params: { group: 'other' }, body: { subscriptionTimestamp: TIME } },
    seekGroup: { params: { group: 'g', queue: 'q' }, body: { toStart: true } },
    seekGroupInPartition: { params: { group: 'g', ...ofPartition }, body: { timestamp: TIME } },
    openChannels: {},
    getChannels: { query: { limit: '2' } },
    sendRequest: { params: CHANNEL, query: { timeout: '20' }, body: 'hello' },
    takeRequest: { params: { channel: '22222222-2222-4333-8444-555555555555' }, query: { timeout: '20' } },
    sendReply: { params: { ...CHANNEL, id: leaseId }, body: 'hello' },
    getMaintenance: {},
    setMaintenance: { body: { enabled: false } },
    getPopMaintenance: {},
    setPopMaintenance: { body: { enabled: false } },
    getLogLevel: {},
    setLogLevel: { body: { level: 'silent' } },
    getSharedState: {},
    getSharedStateStats: {},
    getInterInstanceStats: {},
    notifyPops: { body: { queue: 'q', partition: 'p' } },
    refreshStatistics: {},
    getMigrationStatus: {},
    testMigrationConnection: {},
    startMigration: {},
    validateMigration: {},
    resetMigration: {}
  }
}

/** The path of a request with its query. @param path as OpenAPI has it */
export function urlOf (path: string, { params = {}, query = {} }: Example): string {
  const filled = path.replace(/\{(\w+)\}/g, (_whole, name: string) => encodeURIComponent(params[name] ?? ''))
  const search = new URLSearchParams(query).toString()
  return search === '' ? filled : `${filled}?${search}`
}
