import t from 'tap'
import { randomUUID } from 'node:crypto'
import { connect, createDatabase, startService, until } from '../support.ts'

const NUMBERS = ['push_requests', 'push_messages', 'pop_requests', 'pop_messages', 'pop_empty', 'ack_requests', 'ack_success', 'ack_failed', 'transactions',
  'dead_letters', 'partitions_created', 'lag_count', 'lag_sum_ms']

t.test('history', async t => {
  const databaseUrl = await createDatabase(t)
  // It makes the schema; its own background jobs would be at the history as well.
  await (await startService(t, { databaseUrl })).close()
  const sql = connect(t, databaseUrl)
  await sql`delete from regent.worker_metrics`
  const row = (bucket: Date, extra: object): Record<string, unknown> => ({
    bucket: bucket.toISOString(),
    hostname: 'h',
    worker_id: 'w',
    ...Object.fromEntries(NUMBERS.map((name, i) => [name, i + 1])),
    lag_max_ms: bucket.getUTCMinutes(),
    ...extra
  })
  const figures = (value: number): object => ({ 'a.b': { sum: value * 10, min: value, max: value, last: value } })
  const sums = async (table: string): Promise<unknown> => {
    const [all] = await sql.unsafe(`select ${NUMBERS.map(name => `sum(${name})::float8 as ${name}`).join(', ')}, max(lag_max_ms) as lag_max_ms from regent.${table}`)
    return all
  }
  const rollUp = async (limit: number): Promise<number[]> => {
    const steps: number[] = []
    do {
      const [step] = await sql`select regent.rollup_metrics_v1(${limit}) as gone`
      steps.push(Number(step?.gone))
    } while (steps.at(-1) !== 0)
    return steps
  }
  const hour = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000 - 50 * 3_600_000)
  const minute = (n: number): Date => new Date(hour.getTime() + n * 60_000)

  t.test('minutes become hours in bounded steps, with the same sums', async t => {
    const minutes = Array.from({ length: 90 }, (_, n) => minute(n - 15))
    await sql`insert into regent.queue_metrics ${sql(minutes.flatMap(at => ['x', 'y'].map(queue => row(at, { queue, parked_ms: 1, partition_count: at.getUTCMinutes() }))))}`
    for (const at of minutes) {
      await sql`insert into regent.worker_metrics ${sql({ ...row(at, { pid: 1, samples: 10 }), figures: sql.json(figures(at.getUTCMinutes()) as never) })}`
    }
    const before = [await sums('queue_metrics'), await sums('worker_metrics')]
    const steps = await rollUp(50)
    t.ok(steps.every(step => step <= 100), 'as many rows of each history as it may')
    t.equal(steps.reduce((sum, step) => sum + step, 0), 90 * 3)
    t.same([await sums('queue_metrics'), await sums('worker_metrics')], before)

    const hours = await sql`select bucket, span_minutes, queue, partition_count, parked_ms, lag_max_ms from regent.queue_metrics order by bucket, queue`
    t.same(hours.map(({ bucket, ...rest }) => [bucket.getTime() - hour.getTime(), ...Object.values(rest)]), [-1, 0, 1].flatMap(n => ['x', 'y'].map(queue =>
      [n * 3_600_000, 60, queue, n === 1 ? 14 : 59, n === 0 ? 60 : 15, n === 1 ? 14 : 59])))
    const workers = await sql`select samples, figures from regent.worker_metrics order by bucket`
    t.same([...workers], [
      { samples: 150, figures: { 'a.b': { sum: 7800, min: 45, max: 59, last: 59 } } },
      { samples: 600, figures: { 'a.b': { sum: 17_700, min: 0, max: 59, last: 59 } } },
      { samples: 150, figures: { 'a.b': { sum: 1050, min: 0, max: 14, last: 14 } } }
    ])
  })

  t.test('what comes late is added to its hour', async t => {
    await sql`insert into regent.queue_metrics ${sql(row(minute(3), { queue: 'x', push_messages: 1000 }))}`
    await sql`insert into regent.worker_metrics ${sql({ ...row(minute(3), { pid: 1, samples: 1 }), figures: sql.json({ 'a.b': { sum: 99, min: -1, max: 2, last: 7 } }) })}`
    t.same(await rollUp(1000), [2, 0])
    const [x] = await sql`select push_messages::int, partition_count from regent.queue_metrics where queue = 'x' and bucket = ${hour}`
    t.same(x, { push_messages: 60 * 2 + 1000, partition_count: 59 })
    const [worker] = await sql`select samples, figures->'a.b' as leaf from regent.worker_metrics where bucket = ${hour}`
    t.same(worker, { samples: 601, leaf: { sum: 17_799, min: -1, max: 59, last: 7 } })
  })

  t.test('two days stay as they are', async t => {
    const recent = new Date(Math.floor(Date.now() / 60_000) * 60_000 - 47 * 3_600_000)
    await sql`insert into regent.queue_metrics ${sql(row(recent, { queue: 'x' }))}`
    t.same(await rollUp(1000), [0])
    t.equal((await sql`select from regent.queue_metrics where span_minutes = 1`).length, 1)
  })

  t.test('the roll-up does not wait for rows that somebody holds, and takes them later', async t => {
    await sql`insert into regent.queue_metrics ${sql([row(minute(5), { queue: 'x' }), row(minute(6), { queue: 'x' })])}`
    await sql.begin(async held => {
      await held`select from regent.queue_metrics where bucket = ${minute(5)} and span_minutes = 1 for update`
      t.same(await rollUp(1000), [1, 0])
    })
    t.same(await rollUp(1000), [1, 0])
  })

  t.test('expires what is older than so many days, at most so many rows at a time', async t => {
    await sql`insert into regent.queue_totals (queue_id) values (987654321)`
    await sql`insert into regent.metric_writers (id, seq, written_at) values (${randomUUID()}, 1, now() - interval '8 days')`
    const count = async (): Promise<number> => (await sql`select from regent.queue_metrics`).length + (await sql`select from regent.worker_metrics`).length
    const before = await count()
    const expire = async (days: number, limit: number): Promise<number> => Number((await sql`select regent.expire_metrics_v1(${days}, ${limit}) as gone`)[0]?.gone)
    t.equal(await expire(90, 1000), 2, 'of what is gone')
    t.equal(await count(), before)
    t.equal(await expire(2, 4), 4)
    t.equal(await expire(2, 1000), before - 4 - 1)
    t.equal(await expire(2, 1000), 0)
    t.equal(await count(), 1, 'the recent one')
  })

  t.test('a write that is repeated counts once, also while the first is under way', async t => {
    const writer = randomUUID()
    const bucket = new Date(Math.floor(Date.now() / 60_000) * 60_000)
    const queues = JSON.stringify([{ ...row(bucket, { queue: 'repeated', worker: 0, parked_ms: 0 }) }])
    const write = async (client: typeof sql, seq: number): Promise<unknown> =>
      (await client`select regent.write_metrics_v1(${writer}, ${seq}, ${queues}::text::json, '[]', '{"push_messages": 5}') as written`)[0]?.written
    const total = async (): Promise<number> => Number((await sql`select value from regent.metric_totals where name = 'push_messages'`)[0]?.value ?? 0)
    const before = await total()
    let repeat: Promise<unknown> | undefined
    await sql.begin(async first => {
      t.equal(await write(first as unknown as typeof sql, 1), true)
      repeat = write(sql, 1)
      const admin = connect(t, databaseUrl, 1)
      await until(async () => (await admin`select from pg_stat_activity where wait_event_type = 'Lock' and query like '%write_metrics%'`).length === 1)
    })
    t.equal(await repeat, false)
    t.equal(await total(), before + 5)
    t.equal(await write(sql, 2), true)
    t.equal(await total(), before + 10)
    const [written] = await sql`select push_messages::int from regent.queue_metrics where queue = 'repeated'`
    t.same(written, { push_messages: 4 })
  })

  t.test('a process that ends writes what it has', async t => {
    const service = await startService(t, { databaseUrl, metricsAggregateSeconds: 3600, metricsSampleMs: 60_000 })
    await service.push([{ queue: 'last', payload: 1 }, { queue: 'last', payload: 2 }])
    await service.close()
    const [last] = await sql`select push_messages::int, push_requests::int from regent.queue_metrics where queue = 'last'`
    t.same(last, { push_messages: 2, push_requests: 1 })
  })

  t.test('what gathers is written from time to time', async t => {
    const busy = await startService(t, { databaseUrl, metricsAggregateSeconds: 1, metricsSampleMs: 10 })
    await busy.push([{ queue: 'soon', payload: 1 }])
    await until(async () => (await sql`select from regent.queue_metrics where queue = 'soon'`).length > 0, 30_000)
    const [worker] = await sql`select samples from regent.worker_metrics order by bucket desc limit 1`
    t.ok(worker?.samples > 1)
  })
})
