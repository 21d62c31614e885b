import t from 'tap'
import { Pool } from '../../services/database/pool.ts'
import { Counters } from '../../services/metrics/counters.ts'
import { Metrics } from '../../services/metrics/metrics.ts'
import { FaultProxy } from '../fault/proxy.ts'
import { connect, createDatabase, startService, until } from '../support.ts'

const MINUTE = 60_000

t.test('writes of one process', async t => {
  const databaseUrl = await createDatabase(t)
  // It makes the schema.
  await (await startService(t, { databaseUrl })).close()
  const sql = connect(t, databaseUrl)
  const proxy = await FaultProxy.start(t, databaseUrl)
  const log = { debug () {}, info () {}, warn () {}, error () {} }
  const pool = new Pool({ url: proxy.url, schema: 'regent', applicationName: 'metrics test', connectTimeoutMs: 5000, statementTimeoutMs: 9000, lockTimeoutMs: 8000, poolSize: 2, callTimeoutMs: 10_000, log })
  t.teardown(async () => { await pool.close(100) })
  let now = Math.floor(Date.now() / MINUTE) * MINUTE - 30 * MINUTE
  const counters = new Counters()
  const parked = new Map<string, number>()
  const engine = {
    counters,
    load: { parkedPops: 0, pushesWaiting: 3, acksWaiting: 2, transactionsWaiting: 1 },
    eachParked: (visit: (queue: string, pops: number) => void): void => { for (const [queue, pops] of parked) visit(queue, pops) }
  }
  const start = (workerId: string, aggregateSeconds: number): Metrics => {
    const metrics = new Metrics({ pool, engine, identity: () => ({ hostname: 'h', workerId, worker: 1, pid: 1, port: 0 }), sampleMs: 1000, aggregateSeconds, log, now: () => now })
    t.teardown(async () => { await metrics.close() })
    return metrics
  }
  const push = (queue: string): void => { counters.pushed([{ status: 'queued', queue, transactionId: 't', traceId: null, partitionId: 1, position: 1 }], 1) }
  const rows = async (workerId: string): Promise<[minute: number, messages: number][]> => {
    const found = await sql`select bucket, push_messages::int from regent.worker_metrics where worker_id = ${workerId} order by bucket`
    return found.map(({ bucket, push_messages: messages }) => [bucket.getTime(), messages])
  }

  t.test('minutes are written once they are over', async t => {
    const metrics = start('whole', 60)
    const first = now
    push('q')
    metrics.sample()
    now += 59_999
    push('q')
    metrics.sample()
    now += 2
    push('q')
    metrics.sample()
    await until(async () => (await rows('whole')).length > 0)
    t.same(await rows('whole'), [[first, 2 + 1]], 'what was counted up to the first look in the new one')
    push('q')
    now += 1000
    metrics.sample()
    await metrics.flush(false)
    t.same(await rows('whole'), [[first, 3]], 'the open one is not')
    await metrics.flush()
    t.same(await rows('whole'), [[first, 3], [first + MINUTE, 1]])
    push('q')
    await metrics.flush()
    t.same(await rows('whole'), [[first, 3], [first + MINUTE, 2]], 'unless asked for, and added to then')
  })

  t.test('what waits is sampled', async t => {
    const metrics = start('sampled', 60)
    parked.set('waited-for', 2)
    metrics.sample()
    metrics.sample()
    parked.clear()
    await metrics.flush()
    const [queue] = await sql`select parked_ms, push_messages::int from regent.queue_metrics where queue = 'waited-for'`
    t.ok(queue?.parked_ms > 0)
    const [worker] = await sql`select samples, figures->'lanes.waiting' as waiting, figures->'database.pool_size' as size from regent.worker_metrics where worker_id = 'sampled'`
    t.same(worker, { samples: 2, waiting: { sum: 12, min: 6, max: 6, last: 6 }, size: { sum: 4, min: 2, max: 2, last: 2 } })
  })

  t.test('a write whose answer was lost is sent again and counts once', async t => {
    const metrics = start('lost', 60)
    push('q')
    const caught = proxy.catch('answer', /write_metrics/)
    const flush = metrics.flush()
    const held = await caught
    held.cut()
    await t.rejects(flush, { code: 'RGT_OUTCOME_UNKNOWN' })
    push('q')
    await metrics.flush()
    t.same((await rows('lost')).map(([, messages]) => messages), [2])
  })

  t.test('a write that never arrived is sent again', async t => {
    const metrics = start('late', 60)
    push('q')
    const caught = proxy.catch('statement', /write_metrics/)
    const flush = metrics.flush()
    const held = await caught
    held.cut()
    await t.rejects(flush, { code: 'RGT_OUTCOME_UNKNOWN' })
    await metrics.flush()
    t.same((await rows('late')).map(([, messages]) => messages), [1])
    const [total] = await sql`select value::int from regent.metric_totals where name = 'push_messages'`
    t.equal(total?.value, counters.sinceStart().pushMessages, 'the running totals hold all of it, once')
  })
})
