import t from 'tap'
import { createDatabase, startService } from '../support.ts'
import type { Answer, Service } from '../support.ts'
import { parseExposition, valueOf } from './metrics-text.ts'

// Written when asked for, so that every number is from this run; sampled often.
const OPTIONS = { metricsSampleMs: 20, metricsAggregateSeconds: 3600 }

t.test('numbers of a known run over two queues and two processes', async t => {
  const databaseUrl = await createDatabase(t)
  const a = await startService(t, { ...OPTIONS, databaseUrl, workerId: 'replica-1' })
  const b = await startService(t, { ...OPTIONS, databaseUrl, workerId: 'replica-2' })
  const from = new Date(Date.now() - 1000).toISOString()

  await pushMessages(a, 'one', 2)
  await pushMessages(a, 'one', 3)
  await pushMessages(a, 'one', 5)
  await pushMessages(b, 'two', 4)
  await pushMessages(b, 'two', 4)
  const twice = { queue: 'two', partition: 'p', transactionId: 'same', payload: 0 }
  await b.push([twice, { queue: 'one', partition: 'p', payload: 0 }, twice])

  const one = (await a.pop('one?batch=100&partitions=10')).json.messages
  t.equal(one.length, 11)
  const two = (await b.pop('two?batch=5')).json.messages
  t.equal(two.length, 5)
  await a.pop('one')
  await a.pop('nothing')
  await a.pop('nothing')
  const automatic = (await a.pop('two/partition/p?autoAck=true')).json.messages
  t.equal(automatic.length, 1)

  await a.call('POST', '/api/v1/ack/batch', { acknowledgments: one.map((message: object) => ({ ...message, status: 'completed' })) })
  await b.call('POST', '/api/v1/ack/batch', { acknowledgments: two.slice(0, 3).map((message: object) => ({ ...message, status: 'completed' })) })
  await b.call('POST', '/api/v1/ack', { ...two[3], status: 'dlq', error: 'no' })
  await b.call('POST', '/api/v1/ack', { ...two[4], transactionId: 'nobody', status: 'completed' })
  await b.call('POST', '/api/v1/transaction', {
    operations: [{ type: 'push', items: [{ queue: 'one', payload: 1 }, { queue: 'one', payload: 2 }] }, { type: 'ack', ...two[4], status: 'completed' }]
  })
  const to = new Date(Date.now() + 120_000).toISOString()
  for (const service of [a, b]) t.equal((await service.call('POST', '/api/v1/stats/refresh')).status, 200)
  const get = async (path: string, query = ''): Promise<any> => (await okay(await a.call('GET', `${path}?from=${from}&to=${to}${query}`))).json

  const EXPECTED = { pushMessages: 22, popMessages: 17, ackSuccess: 16, ackFailed: 2, pushRequests: 6, popRequests: 6, ackRequests: 4, dlqCount: 1, dbErrors: 0 }

  t.test('worker-metrics', async t => {
    const { timeSeries, queues, workers, summary } = await get('/api/v1/analytics/worker-metrics')
    t.same(sums(timeSeries, Object.keys(EXPECTED)), EXPECTED)
    t.equal(sums(timeSeries, ['jobsDone']).jobsDone, 17)
    t.same(queues.map((queue: any) => [queue.queueName, queue.popCount]), [['one', 11], ['two', 6]])
    t.equal(workers.reduce((sum: number, worker: any) => sum + Number(worker.messagesProcessed), 0), 22 + 17 + 18)
    t.same(summary, {
      totalPushMessages: 22,
      totalPopMessages: 17,
      totalAckMessages: 18,
      totalPushRequests: 6,
      totalPopRequests: 6,
      totalAckRequests: 4,
      totalDbErrors: 0,
      totalAckFailed: 2,
      totalDlq: 1,
      pendingMessages: 5
    })
    const first = await get('/api/v1/analytics/worker-metrics', '&workerId=1')
    t.match(sums(first.timeSeries, ['pushMessages', 'popMessages', 'ackSuccess']), { pushMessages: 10, popMessages: 12, ackSuccess: 12 })
    t.same(first.workers.map((worker: any) => worker.workerId), [1])
    t.same((await get('/api/v1/analytics/worker-metrics', '&hostname=elsewhere')).timeSeries, [])
  })

  t.test('queue-ops', async t => {
    const { queues, series } = await get('/api/v1/analytics/queue-ops')
    t.same(queues, ['nothing', 'one', 'two'])
    const of = (queue: string): any => sums(series.filter((row: any) => row.queueName === queue), ['pushRequests', 'pushMessages', 'popMessages', 'popEmpty',
      'ackRequests', 'ackSuccess', 'ackFailed', 'transactions', 'partitionsCreated', 'partitionsDeleted'])
    t.same(of('one'), { pushRequests: 4, pushMessages: 13, popMessages: 11, popEmpty: 1, ackRequests: 1, ackSuccess: 11, ackFailed: 0, transactions: 1, partitionsCreated: 2, partitionsDeleted: 0 })
    t.same(of('two'), { pushRequests: 3, pushMessages: 9, popMessages: 6, popEmpty: 0, ackRequests: 3, ackSuccess: 5, ackFailed: 2, transactions: 1, partitionsCreated: 2, partitionsDeleted: 0 })
    t.same(of('nothing'), { pushRequests: 0, pushMessages: 0, popMessages: 0, popEmpty: 2, ackRequests: 0, ackSuccess: 0, ackFailed: 0, transactions: 0, partitionsCreated: 0, partitionsDeleted: 0 })
    t.equal(series.findLast((row: any) => row.queueName === 'one').partitionCount, 2)
    t.equal(series.findLast((row: any) => row.queueName === 'nothing').partitionCount, null)
    t.same((await get('/api/v1/analytics/queue-ops', '&queue=two')).queues, ['two'])
  })

  t.test('queue-lag', async t => {
    const rows = await get('/api/v1/analytics/queue-lag')
    t.same(sums(rows, ['popCount']), { popCount: 17 })
    for (const row of rows) t.ok(row.avgLagMs >= 0 && row.maxLagMs >= row.avgLagMs && row.maxLagMs < 600_000)
    t.same(new Set((await get('/api/v1/analytics/queue-lag', '&queue=one')).map((row: any) => row.queueName)), new Set(['one']))
  })

  t.test('status, whole and filtered', async t => {
    const whole = await get('/api/v1/status')
    t.same(sums(whole.throughput, ['ingested', 'processed', 'popMessages', 'ackFailed', 'dlqCount']), { ingested: 22, processed: 16, popMessages: 17, ackFailed: 2, dlqCount: 1 })
    t.same(whole.messages, {
      total: 22,
      pending: 5,
      processing: 0,
      completed: 16,
      failed: 2,
      deadLetter: 1,
      requests: { push: 6, pop: 6, ack: 4 },
      batchEfficiency: { push: 3.67, pop: 2.83, ack: 4.5 }
    })
    t.same(whole.queues.map((queue: any) => [queue.name, queue.partitions, queue.totalConsumed]), [['one', 2, 11], ['two', 2, 5]])
    t.same(whole.deadLetterQueue, { totalMessages: 1, affectedPartitions: 0, topErrors: [] })
    t.same(whole.errors, { dbErrors: 0, ackFailed: 2, dlqMessages: 1 })
    const filtered = await get('/api/v1/status', '&queue=two')
    t.same(sums(filtered.throughput, ['ingested', 'processed', 'popMessages']), { ingested: 9, processed: 5, popMessages: 6 })
    t.same(filtered.queues.map((queue: any) => queue.name), ['two'])
    t.same(filtered.messages, whole.messages)
    const { dataPoints } = await get('/api/v1/status/analytics', '&interval=day')
    t.equal(sums(dataPoints, ['messages']).messages, 22)
  })

  t.test('prometheus', async t => {
    const families = parseExposition((await b.call('GET', '/metrics/prometheus')).text)
    const total = (name: string, labels = {}): number => valueOf(families, `queen_cluster_${name}`, { scope: 'cluster', ...labels })
    t.equal(total('push_messages_total'), 22)
    t.equal(total('pop_messages_total'), 17)
    t.equal(total('ack_messages_total'), 18)
    t.equal(total('push_requests_total'), 6)
    t.equal(total('pop_requests_total'), 6)
    t.equal(total('ack_requests_total'), 4)
    t.equal(total('transactions_total'), 1)
    t.equal(total('dlq_total'), 1)
    t.equal(total('ack_total', { result: 'success' }), 16)
    t.equal(total('ack_total', { result: 'failed' }), 2)
    t.equal(valueOf(families, 'queen_dlq_depth', { scope: 'cluster' }), 1)
    t.equal(valueOf(families, 'queen_dlq_depth_by_queue', { queue: 'two' }), 1)
    // The run may have taken two minutes of the clock: the latest is shown.
    const { series } = await get('/api/v1/analytics/queue-ops')
    const latest = series.findLast((row: any) => row.queueName === 'two')
    t.equal(valueOf(families, 'queen_queue_push_messages_per_minute', { queue: 'two' }), latest.pushMessages)
    t.equal(valueOf(families, 'queen_queue_ack_per_minute', { queue: 'two', result: 'failed' }), latest.ackFailed)
  })
})

async function pushMessages (service: Service, queue: string, count: number): Promise<void> {
  await okay(await service.push(Array.from({ length: count }, (_, i) => ({ queue, payload: i }))))
}

async function okay (answer: Answer): Promise<Answer> {
  if (answer.status >= 300) throw new Error(`${answer.status} ${answer.text}`)
  return answer
}

function sums (rows: any[], fields: string[]): Record<string, number> {
  return Object.fromEntries(fields.map(field => [field, rows.reduce((sum: number, row) => sum + Number(row[field]), 0)]))
}
