import t from 'tap'
import { configure, hold, numbers, pop, push, startPair, untilBlocked } from './support.ts'
import { connect, until } from '../support.ts'

t.test('a queue of limited size', async t => {
  const pair = await startPair(t)
  const { first, second, sql } = pair
  const full = async (queue: string, count: number): Promise<string> => {
    const [row] = await sql<{ full: string | null }[]>`
      select regent.full_queue(array(select id from regent.queues where name = ${queue}), array[${count}::int]) as full`
    return row?.full ?? 'room'
  }

  t.test('is counted when the bound kept since the last count is not enough, not with every push', async t => {
    await configure(first, 'bound', { maxSize: 1000 })
    await push(first, numbers(200).map(i => ({ queue: 'bound', partition: `p${i}`, payload: i })))
    await pop(first, 'bound?consumerGroup=g')
    await sql`update regent.queues set backlog_bound = null, backlog_counted_at = '-infinity' where name = 'bound'`
    t.equal(await full('bound', 10), 'room')
    const [counted] = await sql`select backlog_bound::int as bound, backlog_counted_at as at from regent.queues where name = 'bound'`
    t.equal(counted?.bound, 210)
    await sql`update regent.queues set backlog_counted_at = clock_timestamp() + interval '1 hour' where name = 'bound'`
    t.equal(await full('bound', 790), 'room', 'the bound is added to')
    t.equal(await full('bound', 1), 'bound', 'and may not be counted again yet')
    await sql`update regent.queues set backlog_counted_at = clock_timestamp() - interval '1 minute' where name = 'bound'`
    t.equal(await full('bound', 800), 'room', 'it was too much, so it is counted')
  })

  t.test('has room again when its slowest group has read, whichever instance is asked', async () => {
    await configure(first, 'room', { maxSize: 20 })
    await push(first, numbers(20).map(i => ({ queue: 'room', partition: `p${i % 4}`, payload: i })))
    await Promise.all(['a', 'b'].map(async group => await pop(first, `room?consumerGroup=${group}&autoAck=true&batch=20&partitions=4`)))
    await until(async () => (await second.push([{ queue: 'room', payload: 1 }])).status === 201)
  })

  t.test('is refused what a seek back leaves no room for', async () => {
    await configure(first, 'back', { maxSize: 20 })
    await push(first, numbers(20).map(i => ({ queue: 'back', payload: i })))
    await pop(first, 'back?consumerGroup=g&autoAck=true&batch=20')
    await until(async () => (await first.push([{ queue: 'back', payload: 1 }])).status === 201)
    await first.call('POST', '/api/v1/consumer-groups/g/queues/back/seek', { toStart: true })
    await until(async () => (await second.push([{ queue: 'back', payload: 1 }])).status === 429)
  })
})

t.test('groups are made before any cursor is locked, so that a deletion and a look for several things do not wait for one another', async t => {
  const { first, sql } = await startPair(t)
  await push(first, [{ queue: 'q', payload: 1 }])
  await pop(first, 'q?consumerGroup=g1&autoAck=true')
  await push(first, [{ queue: 'q', payload: 2 }])
  const held = await hold(t, sql)
  await held.sql`select from regent.queues where name = 'q' for key share`
  const look = connect(t, first.databaseUrl, 1)`
    select count(*) from regent.pop_v2(array['q', 'q'], array[null, null]::text[], array[null, null]::text[], array[null, null]::text[], array['g1', 'g2'],
      array['all', 'all'], array[null, null]::text[], array[0, 0]::float8[], array[1, 1], array[1, 1], array[1, 1], array[false, false],
      array[lpad('1', 18, '0'), lpad('2', 18, '0')], 1000000, array[null, null]::text[], array[true, true])`.then(rows => rows.length)
  await untilBlocked(sql)
  // What the deletion wants next: the look must not have it.
  const cursors = await held.sql`select from regent.cursors for update nowait`
  t.equal(cursors.length, 1)
  await held.commit()
  t.equal(await look, 1)
})
