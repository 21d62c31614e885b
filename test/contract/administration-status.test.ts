import t from 'tap'
import { connect, until } from '../support.ts'
import { Fields } from './fields.ts'
import { startDescribed } from './service.ts'

const LONG_AGO = { from: '2020-01-01', to: '2020-01-01T01:00:00Z' }
const SERIES = ['getSystemMetrics', 'getWorkerMetrics', 'getQueueLag', 'getQueueOperations', 'getParkedPops', 'getRetention']
const SAMPLES = { METRICS_SAMPLE_INTERVAL_MS: '20', METRICS_AGGREGATE_INTERVAL_S: '3600' }
/** What PostgreSQL says of itself only with an extension, a while after a vacuum of its own, or before anything was read from it. */
const SELDOM = [
  'getPostgresStats.databaseCache.cacheHitRatio: null',
  'getPostgresStats.cacheSummary.tables.hitRatio: null',
  'getPostgresStats.cacheSummary.indexes.hitRatio: null',
  'getPostgresStats.deadTuples[].lastAutovacuum: something',
  'getPostgresStats.activeQueries[].waitEventType: null',
  'getPostgresStats.activeQueries[].waitEvent: null',
  'getPostgresStats.autovacuumStatus[].lastAutovacuum: something',
  'getPostgresStats.bufferUsage[]',
  'getPostgresStats.bufferUsage[].object',
  'getPostgresStats.bufferUsage[].bufferedSize',
  'getPostgresStats.bufferUsage[].bufferedBytes',
  'getPostgresStats.bufferUsage[].percentOfCache'
]

t.test('what is answered about how the service is and was has every field that is described, and no other', async t => {
  const service = await startDescribed(t, { WORKER_ID: 'worker-3', ...SAMPLES })
  const unbuffered = await startDescribed(t, { DATABASE_URL: service.databaseUrl, FILE_BUFFER_DIR: 'off', ...SAMPLES })
  const fields = new Fields()
  const ask = fields.asking(service)
  const askUnbuffered = fields.asking(unbuffered)
  const sql = connect(t, service.databaseUrl)

  await t.test('before anything has happened', async t => {
    t.same((await ask(200, 'getWorkerMetrics')).summary, {})
    t.equal((await ask(200, 'getStatus', { query: LONG_AGO })).statsAge, -1)
    for (const operation of SERIES) await ask(200, operation, { query: LONG_AGO })
  })

  await t.test('what happens is seen in the history', async t => {
    const push = async (queue: string): Promise<void> => { await service.call('push', { body: { items: [{ queue, payload: 1 }] } }) }
    await service.call('popQueue', { params: { queue: 'used' }, query: { wait: 'true', timeout: '50' } })
    await service.call('configureQueue', { body: { queue: 'used', namespace: 'shop', task: 'bill' } })
    await push('used')
    const { json: { messages: [message] } } = await service.call('popQueue', { params: { queue: 'used' } })
    await service.call('ack', { body: message })
    await until(async () => {
      await ask(200, 'refreshStatistics')
      return (await ask(200, 'getSystemMetrics', { query: { workerId: 'worker-3' } })).replicaCount === 1
    })
    await sql`insert into regent.queue_metrics (bucket, queue, hostname, worker_id, worker, push_messages, partition_count)
      values ('2020-01-01T00:00:00Z', 'used', 'h', 'w', 1, 7, 1)`
    await sql`insert into regent.retention_history (bucket, queue, retention_msgs, completed_retention_msgs, eviction_msgs, partitions_deleted, events)
      values ('2020-01-01T00:30:00Z', 'gone', 5, 2, 1, 3, 4)`
    for (const operation of ['getStatus', ...SERIES]) {
      await ask(200, operation)
      await ask(200, operation, { query: LONG_AGO })
    }
    await ask(200, 'getStatus', { query: { queue: 'used', namespace: 'shop', task: 'bill', ...LONG_AGO } })
    await ask(200, 'getWorkerMetrics', { query: { hostname: 'nowhere', workerId: '-1' } })
    for (const interval of ['', 'minute', 'hour', 'day', 'week', 'month']) await ask(200, 'countPushedMessages', { query: { interval } })
    for (const query of [{ interval: 'minute', from: '2021-01-01', to: '2021-02-01' }, { from: '2021-02-01', to: '2021-01-01' }]) {
      await ask(400, 'countPushedMessages', { query })
    }
    t.ok((await ask(200, 'getStatus')).workers.length > 0)
  })

  await t.test('what PostgreSQL says of itself', async t => {
    await sql.unsafe('vacuum regent.queues')
    const running = sql`select pg_sleep(60)`.execute()
    await until(async () => (await ask(200, 'getPostgresStats')).activeQueries.length > 0)
    running.cancel()
    await t.rejects(running, { code: '57014' })
  })

  await t.test('maintenance and the file buffer', async t => {
    for (const asked of [ask, askUnbuffered]) {
      await asked(200, 'getBuffers')
      await asked(200, 'getMaintenance')
      await asked(200, 'setMaintenance', { body: { enabled: false } })
    }
    await askUnbuffered(501, 'setMaintenance', { body: { enabled: true } })
    await ask(200, 'setMaintenance', { body: { enabled: true } })
    await service.call('push', { body: { items: [{ queue: 'used', payload: 1 }] } })
    t.equal((await ask(200, 'getBuffers')).pending, 1)
    t.equal((await ask(200, 'getMaintenance')).bufferStats.state, 'maintenance')
    await ask(200, 'setMaintenance', { body: { enabled: false } })
    await until(async () => (await ask(200, 'getBuffers')).pending === 0)
    for (const enabled of [true, false]) {
      await ask(200, 'setPopMaintenance', { body: { enabled } })
      t.equal((await ask(200, 'getPopMaintenance')).popMaintenanceMode, enabled)
      for (const operation of ['getSharedState', 'getSharedStateStats', 'getInterInstanceStats']) t.equal((await ask(200, operation)).pop_maintenance_mode, enabled)
    }
    await ask(200, 'notifyPops', { body: { queue: 'used' } })
    for (const operation of ['getMigrationStatus', 'testMigrationConnection', 'startMigration', 'validateMigration', 'resetMigration']) await ask(501, operation)
  })

  t.same([...service.wrong, ...unbuffered.wrong], [])
  t.same(fields.unseen.filter(place => !SELDOM.includes(place)), [])
  t.same(SELDOM.filter(place => !fields.described.has(place)), [])
})
