import t from 'tap'
import { connect, startService } from '../support.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

t.test('analytics', async t => {
  const service = await startService(t, { workerId: 'worker-3', metricsSampleMs: 20, metricsAggregateSeconds: 3600 })
  const sql = connect(t, service.databaseUrl)
  const get = async (path: string): Promise<any> => {
    const { status, json, text } = await service.call('GET', `/api/v1/${path}`)
    t.equal(status, 200, `${path} ${text}`)
    return json
  }
  // A week ago, at midnight: every width divides it.
  const midnight = Math.floor(Date.now() / DAY) * DAY - 7 * DAY
  const iso = (ms: number): string => new Date(ms).toISOString()
  const seconds = (ms: number): string => iso(ms).replace('.000Z', 'Z')
  const rangeText = (from: number, to: number): string => `from=${iso(from)}&to=${iso(to)}`
  const queueRow = async (at: number, queue: string, numbers: object): Promise<void> => {
    await sql`insert into regent.queue_metrics ${sql({ bucket: iso(at), queue, hostname: 'h', worker_id: 'w-1', worker: 1, ...numbers })}`
  }
  const workerRow = async (at: number, numbers: object): Promise<void> => {
    await sql`insert into regent.worker_metrics ${sql({ bucket: iso(at), hostname: 'h', worker_id: 'w-1', worker: 1, pid: 1, ...numbers })}`
  }

  t.test('empty histories are empty lists', async t => {
    const old = rangeText(midnight - 100 * DAY, midnight - 99 * DAY)
    t.same(await get(`analytics/queue-lag?${old}`), [])
    t.match(await get(`analytics/queue-ops?${old}`), { queues: [], series: [], bucketMinutes: 15, timeRange: { from: iso(midnight - 100 * DAY), to: iso(midnight - 99 * DAY) } })
    t.match(await get(`analytics/queue-parked-replicas?${old}`), { series: [], replicas: [] })
    t.match(await get(`analytics/retention?${old}`), { series: [], totals: { retentionMsgs: 0, completedRetentionMsgs: 0, evictionMsgs: 0, totalMsgs: 0, eventCount: 0 } })
    t.match(await get(`analytics/worker-metrics?${old}`), { timeSeries: [], pointCount: 0, queues: [] })
    t.match(await get(`analytics/system-metrics?${old}`), { replicas: [], pointCount: 0, replicaCount: 0 })
    t.same((await get('analytics/worker-metrics')).summary, {}, 'nothing was ever written')
    const status = await get(`status?${old}`)
    t.match(status, { throughput: [], pointCount: 0, queues: [], workers: [], statsAge: -1 })
    t.match(status.messages, { total: 0, requests: { push: 0, pop: 0, ack: 0 }, batchEfficiency: { push: 0, pop: 0, ack: 0 } })
  })

  t.test('series are as fine as their range allows', async t => {
    for (let minute = 0; minute < 12 * 60; minute += 1) {
      await queueRow(midnight + minute * MINUTE, 'fine', { push_messages: 1, pop_messages: 2, ack_success: 3, lag_count: 2, lag_sum_ms: 20, lag_max_ms: minute })
    }
    for (const [length, width] of [[HOUR, 1], [HOUR + 1, 5], [6 * HOUR, 5], [6 * HOUR + 1, 15], [DAY, 15], [DAY + 1, 60], [7 * DAY, 60], [7 * DAY + 1, 360]] as const) {
      const { bucketMinutes, series, timeRange } = await get(`analytics/queue-ops?${rangeText(midnight, midnight + length)}`)
      t.equal(bucketMinutes, width)
      t.same(timeRange, { from: iso(midnight), to: iso(midnight + length) })
      const [first, second] = series
      t.match(first, { bucket: seconds(midnight), queueName: 'fine', pushMessages: width, popMessages: 2 * width, ackSuccess: 3 * width, avgLagMs: 10, maxLagMs: width - 1 })
      t.match(first, { pushPerSecond: 1 / 60, popPerSecond: 2 / 60, ackPerSecond: 3 / 60, emptyPerSecond: 0 }, `rates at ${width}`)
      t.equal(second.bucket, seconds(midnight + width * MINUTE))
    }
    const { throughput } = await get(`status?queue=fine&${rangeText(midnight, midnight + 7 * DAY + 1)}`)
    t.same(throughput.map((row: any) => [row.timestamp, row.ingested]), [[seconds(midnight + 6 * HOUR), 360], [seconds(midnight), 360]], 'newest first')
  })

  t.test('hours in place of minutes keep their rates, also in narrow buckets', async t => {
    const at = midnight - 2 * DAY
    await queueRow(at, 'rolled', { span_minutes: 60, push_messages: 3600 })
    await workerRow(at, { span_minutes: 60, push_messages: 3600 })
    const { series, bucketMinutes } = await get(`analytics/queue-ops?queue=rolled&${rangeText(at + 20 * MINUTE, at + 30 * MINUTE)}`)
    t.equal(bucketMinutes, 1)
    t.match(series, [{ bucket: seconds(at), pushMessages: 3600, pushPerSecond: 1 }])
    const { timeSeries } = await get(`analytics/worker-metrics?${rangeText(at, at + HOUR)}`)
    t.match(timeSeries, [{ timestamp: seconds(at), pushPerSecond: 1 }])
    t.same((await get(`analytics/queue-ops?queue=rolled&${rangeText(at + HOUR, at + 2 * HOUR)}`)).series, [])
  })

  t.test('what retention deleted, with the partitions it removed', async t => {
    const at = midnight - 3 * DAY
    await sql`insert into regent.retention_history (bucket, queue, retention_msgs, completed_retention_msgs, eviction_msgs, partitions_deleted, events) values
      (${iso(at)}, 'r', 5, 2, 1, 3, 4), (${iso(at + MINUTE)}, 'r', 1, 0, 0, 0, 1), (${iso(at + MINUTE)}, 'other', 10, 0, 0, 0, 2)`
    const { series, totals, bucketMinutes } = await get(`analytics/retention?${rangeText(at, at + HOUR)}`)
    t.equal(bucketMinutes, 1)
    t.same(series, [
      { bucket: seconds(at), retentionMsgs: 5, completedRetentionMsgs: 2, evictionMsgs: 1, totalMsgs: 8, eventCount: 4 },
      { bucket: seconds(at + MINUTE), retentionMsgs: 11, completedRetentionMsgs: 0, evictionMsgs: 0, totalMsgs: 11, eventCount: 3 }
    ])
    t.same(totals, { retentionMsgs: 16, completedRetentionMsgs: 2, evictionMsgs: 1, totalMsgs: 19, eventCount: 7 })
    t.equal((await get(`analytics/retention?queue=r&${rangeText(at, at + 2 * HOUR)}`)).series[0].retentionMsgs, 6, 'five minutes together')
    t.match((await get(`analytics/queue-ops?${rangeText(at, at + HOUR)}`)).series, [{ queueName: 'r', partitionsDeleted: 3, partitionCount: null }])
  })

  t.test('parked pops, by queue and process', async t => {
    const at = midnight - 4 * DAY
    await queueRow(at, 'p', { parked_ms: 30_000 })
    await queueRow(at + MINUTE, 'p', { parked_ms: 120_000 })
    await queueRow(at, 'idle', { push_messages: 1 })
    const { series, replicas } = await get(`analytics/queue-parked-replicas?${rangeText(at, at + HOUR)}`)
    t.same(series, [
      { bucket: seconds(at), queueName: 'p', hostname: 'h', workerId: 1, parkedCount: 0.5 },
      { bucket: seconds(at + MINUTE), queueName: 'p', hostname: 'h', workerId: 1, parkedCount: 2 }
    ])
    t.same(replicas, [{ hostname: 'h', workerId: 1 }])
    const fives = await get(`analytics/queue-parked-replicas?queue=p&${rangeText(at, at + 2 * HOUR)}`)
    t.match(fives.series, [{ parkedCount: 0.5 }])
    t.equal((await get(`analytics/queue-ops?queue=p&${rangeText(at, at + 2 * HOUR)}`)).series[0].parkedCount, 0.5)
  })

  t.test('figures of each process', async t => {
    await service.call('POST', '/api/v1/stats/refresh')
    const { replicas, replicaCount, pointCount } = await get('analytics/system-metrics?workerId=worker-3')
    t.equal(replicaCount, 1)
    const [{ hostname, port, workerId, timeSeries }] = replicas
    t.match({ hostname, port, workerId }, { hostname: /./, port: Number(new URL(service.url).port), workerId: 'worker-3' })
    t.equal(pointCount, timeSeries.length)
    const [{ timestamp, sampleCount, metrics }] = timeSeries
    t.match(timestamp, /:00\.000Z$/)
    t.ok(sampleCount > 0)
    const leaf = { avg: Number, min: Number, max: Number, last: Number }
    t.match(metrics, {
      cpu: { user_us: leaf, system_us: leaf },
      memory: { rss_bytes: leaf, virtual_bytes: leaf },
      database: { pool_size: { avg: 20, min: 20, max: 20, last: 20 }, pool_idle: leaf, pool_active: leaf },
      threadpool: { db: { pool_size: leaf, queue_size: leaf }, system: { pool_size: leaf, queue_size: leaf } },
      registries: { response: leaf },
      shared_state: {
        enabled: false,
        sidecar_ops: { push: { count: null, latency_us: null, items: null } },
        queue_backoff: { queues_with_backoff: null },
        queue_backoff_summary: null,
        queue_config_cache: { size: null, hits: null, misses: null },
        consumer_presence: { queues_tracked: null },
        server_health: { alive: null, dead: null },
        transport: { sent: null, received: null, dropped: null }
      }
    })
    const { rss_bytes: rss } = metrics.memory
    t.ok(rss.min > 1e6 && rss.min <= rss.avg && rss.avg <= rss.max)
    t.same((await get('analytics/system-metrics?hostname=elsewhere')).replicas, [])
  })

  t.test('what PostgreSQL knows about itself', async t => {
    const stats = await get('analytics/postgres-stats')
    t.same(Object.keys(stats).sort(), ['activeQueries', 'autovacuumStatus', 'bufferConfig', 'bufferUsage', 'cacheSummary', 'database', 'databaseCache', 'deadTuples',
      'hotUpdates', 'indexCache', 'tableCache', 'tableSizes', 'timestamp'])
    t.match(stats.timestamp, /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/)
    t.equal(stats.database, new URL(service.databaseUrl).pathname.slice(1))
    t.match(stats.databaseCache, { database: stats.database, diskReads: Number, cacheHits: Number, cacheHitRatio: Number })
    const queues = (list: any[]): any => list.find(({ table }) => table === 'queues')
    t.same(Object.keys(queues(stats.tableCache)), ['schema', 'table', 'diskReads', 'cacheHits', 'cacheHitRatio'])
    t.match(stats.indexCache.find((row: any) => row.index === 'queues_pkey'), { schema: 'regent', table: 'queues', diskReads: Number, cacheHits: Number })
    t.match(stats.cacheSummary, { tables: { diskReads: Number, cacheHits: Number }, indexes: { diskReads: Number, cacheHits: Number } })
    t.ok('hitRatio' in stats.cacheSummary.tables)
    t.same(queues(stats.deadTuples), { schema: 'regent', table: 'queues', deadTuples: 0, liveTuples: 0, deadPercentage: null, lastVacuum: null, lastAutovacuum: null })
    t.match(queues(stats.hotUpdates), { schema: 'regent', totalUpdates: 0, hotUpdates: 0, hotUpdatePercentage: null })
    t.match(queues(stats.autovacuumStatus), { lastAutovacuum: null, deadTuples: 0, autovacuumCount: 0, autoanalyzeCount: 0 })
    t.match(stats.bufferConfig, { sharedBuffers: /^\d+$/, sharedBuffersSize: /^\d+[kM]?B$/ })
    t.same(stats.bufferUsage, [])
    t.match(queues(stats.tableSizes), { totalSize: /\d/, totalSizeBytes: Number, tableSize: /\d/, tableSizeBytes: Number, indexSize: /\d/, indexSizeBytes: Number })
    t.same(stats.activeQueries, [])
    t.notMatch(stats.tableCache.map((row: any) => row.schema), ['public'])
  })

  t.test('ranges and filters that cannot be are refused by name', async t => {
    const paths = ['system-metrics', 'worker-metrics', 'queue-lag', 'queue-ops', 'queue-parked-replicas', 'retention'].map(name => `analytics/${name}`)
    for (const path of [...paths, 'status', 'status/analytics']) {
      for (const [query, field] of [['from=yesterday', 'from'], ['to=2026-02-30', 'to'], ['from=2026-01-02&to=2026-01-01', 'from'], [`queue=${'x'.repeat(256)}`, 'queue']] as const) {
        if (field === 'queue' && !/queue|retention|status/.test(path)) continue
        const { status, json } = await service.call('GET', `/api/v1/${path}?${query}`)
        t.equal(status, 400, `${path}?${query}`)
        t.equal(json.field, field)
      }
    }
    t.match((await service.call('GET', '/api/v1/analytics/worker-metrics?workerId=one')).json, { field: 'workerId', code: 'RGT_FIELD_INVALID' })
  })
})
