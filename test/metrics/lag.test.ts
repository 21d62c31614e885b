import t from 'tap'
import { Pool } from '../../services/database/pool.ts'
import { QueueLag } from '../../services/metrics/queue-lag.ts'
import { ackAll } from '../poll/parked.ts'
import { parseExposition, valueOf } from '../routes/metrics-text.ts'
import { connect, createDatabase, startService } from '../support.ts'

t.test('how far consumer groups are behind', async t => {
  const databaseUrl = await createDatabase(t)
  const service = await startService(t, { databaseUrl })
  const sql = connect(t, databaseUrl)
  const push = async (queue: string, partition: string, count: number): Promise<void> => {
    await service.push(Array.from({ length: count }, (_, payload) => ({ queue, partition, payload })))
  }
  /** What a service shows that has not been asked before: the others know an answer that may be some seconds old. */
  const lag = async (metricsMaxQueues = 200): Promise<{ of: (name: string, queue: string, group: string) => number, pairs: Record<string, number> }> => {
    const asked = await startService(t, { databaseUrl, metricsMaxQueues })
    const families = parseExposition((await asked.call('GET', '/metrics/prometheus')).text)
    await asked.close()
    return {
      of: (name, queue, group) => valueOf(families, `queen_queue_lag_${name}`, { queue, group }),
      pairs: Object.fromEntries(families.get('queen_queue_lag_pairs')?.samples.map(({ labels, value }) => [labels.state, value]) ?? [])
    }
  }

  await push('a', 'p1', 3)
  await push('a', 'p2', 2)
  await push('b', 'p', 4)
  await push('unread', 'p', 100)
  await ackAll(service, await service.pop('a/partition/p1?batch=2&consumerGroup=g'))
  await service.pop('a/partition/p2?consumerGroup=h')
  await ackAll(service, await service.pop('b?batch=4'))
  await push('c', 'p', 3)
  const answer = await service.pop('c?batch=3')
  await ackAll(service, { ...answer, json: { ...answer.json, messages: [answer.json.messages[1]] } })
  for (const [partition, hours] of [['p1', 2], ['p2', 1]] as const) {
    const [{ id } = { id: 0 }] = await sql`update regent.partitions set oldest_at = oldest_at - ${`${hours} hours`}::interval where name = ${partition} returning id`
    await sql`update regent.segments set created_at = created_at - ${`${hours} hours`}::interval where partition_id = ${id}`
  }

  t.test('messages that are not acknowledged count, also leased ones, and the oldest of them', async t => {
    const { of, pairs } = await lag()
    t.equal(of('messages', 'a', 'g'), 3)
    t.equal(of('partitions', 'a', 'g'), 2)
    t.equal(of('messages', 'a', 'h'), 5, 'what is leased is not consumed')
    t.equal(of('messages', 'b', '__QUEUE_MODE__'), 0)
    t.equal(of('messages', 'c', '__QUEUE_MODE__'), 2, 'what was acknowledged out of order is consumed')
    t.equal(of('oldest_seconds', 'b', '__QUEUE_MODE__'), 0)
    for (const group of ['g', 'h']) t.ok(of('oldest_seconds', 'a', group) >= 7200 && of('oldest_seconds', 'a', group) < 14_400, group)
    t.same(pairs, { shown: 4, summed: 0, partial: 0, unseen: 0 }, 'a queue that nobody reads has no pair')
  })

  t.test('beyond the limit, those that are furthest behind are shown and the others added up', async t => {
    const { of, pairs } = await lag(1)
    t.equal(of('messages', 'a', 'h'), 5)
    t.throws(() => of('messages', 'a', 'g'))
    t.equal(of('messages', '__other__', '__other__'), 5)
    t.equal(of('partitions', '__other__', '__other__'), 3)
    t.ok(of('oldest_seconds', '__other__', '__other__') >= 7200)
    t.same(pairs, { shown: 1, summed: 3, partial: 0, unseen: 0 })
    const none = await lag(0)
    t.equal(none.of('messages', '__other__', '__other__'), 10)
    t.same(none.pairs, { shown: 0, summed: 4, partial: 0, unseen: 0 })
  })

  t.test('counting ends at a number of partitions and after a time, and says so', async t => {
    const few = await sql`select * from regent.lag_v1(10, 1, 60000)`
    t.equal(few.find(row => row.consumer_group === 'g')?.partial, 1)
    t.equal(few.find(row => row.consumer_group === 'g')?.partitions, 1)
    t.equal(few.find(row => row.queue === 'b')?.partial, 0)
    const late = await sql`select * from regent.lag_v1(10, 10, -1)`
    t.strictSame(late.map(({ partial, total }) => [partial, total]), [[1, 4]], 'one has been looked at, and is not complete')
  })

  t.test('it is counted once in ten seconds, however often it is asked for, and again at once after a failure', async t => {
    const warnings: string[] = []
    const log = { debug () {}, info () {}, warn: (_fields: object, message: string) => { warnings.push(message) }, error () {} }
    const pool = new Pool({ url: databaseUrl, schema: 'regent', applicationName: 'lag test', connectTimeoutMs: 5000, statementTimeoutMs: 9000, lockTimeoutMs: 8000, poolSize: 2, callTimeoutMs: 10_000, log })
    t.teardown(async () => { await pool.close(100) })
    let now = 0
    const known = new QueueLag({ pool, maxPairs: 10, log, now: () => now })
    const calls = (): number => pool.times.other.figures.counts.reduce((sum, count) => sum + count, 0)
    const [one, two] = await Promise.all([known.read(), known.read()])
    t.equal(one, two)
    now = 9999
    t.equal(await known.read(), one)
    t.equal(calls(), 1)
    now = 10_000
    await push('b', 'p', 1)
    t.same((await known.read())?.shown.map(({ messages }) => messages).sort(), [1, 2, 3, 5])
    t.equal(calls(), 2)
    now = 30_000
    await sql`alter table regent.groups rename to away`
    t.equal(await known.read(), null)
    t.same(warnings, ['counting the lag of queues failed'])
    await sql`alter table regent.away rename to groups`
    t.match(await known.read(), { pairs: { unseen: 0 } })
  })

  t.test('without any consumer group', async t => {
    const empty = await startService(t)
    const families = parseExposition((await empty.call('GET', '/metrics/prometheus')).text)
    t.equal(valueOf(families, 'queen_queue_lag_pairs', { state: 'unseen' }), 0)
    t.notOk(families.has('queen_queue_lag_messages'))
  })
})
