import t from 'tap'
import { blocked, eachAtOnce, hold, numbers, partitionIds, pick, pop, push, pushByHand, startPair } from './support.ts'
import { until } from '../support.ts'

// The race: a new partition gets cursors for the groups it can see, a new group gets cursors for the partitions it can
// see. When the two appear together and neither sees the other, that partition is never delivered to that group.

t.test('a group made while a partition is being made gets its messages', async t => {
  const pair = await startPair(t)
  await push(pair.first, [{ queue: 'q', partition: 'old', transactionId: 'old', payload: 0 }])
  const held = await hold(t, pair.sql)
  await held.sql`select * from regent.ensure_partitions_v2(array['q'], array['young'])`
  const polled = pop(pair.second, 'q?consumerGroup=g&wait=true&timeout=5000&partitions=10&batch=10')
  // It waits for the partition, or (were there no common lock) makes its group without it.
  await until(async () => await blocked(pair.sql) > 0 || (await pair.sql`select from regent.groups`).length > 0)
  await held.commit()
  const first = await polled
  await push(pair.first, [{ queue: 'q', partition: 'young', transactionId: 'young', payload: 0 }])
  const then = await pop(pair.second, 'q?consumerGroup=g&wait=true&timeout=5000&partitions=10&batch=10')
  t.strictSame([...first, ...then].map(message => message.transactionId), ['old', 'young'])
})

t.test('a partition made while a group is being made delivers to it', async t => {
  const pair = await startPair(t)
  await push(pair.first, [{ queue: 'q', partition: 'old', transactionId: 'old', payload: 0 }])
  const held = await hold(t, pair.sql)
  await held.sql`
    select regent.seed_group_v1((g).id, 1000) from regent.ensure_group_v1((select id from regent.queues), 'g', 'all', null) as g`
  const pushed = push(pair.first, [{ queue: 'q', partition: 'young', transactionId: 'young', payload: 0 }])
  await until(async () => await blocked(pair.sql) > 0 || (await pair.sql`select from regent.partitions`).length > 1)
  await held.commit()
  await pushed
  const messages = await pop(pair.second, 'q?consumerGroup=g&wait=true&timeout=5000&partitions=10&batch=10')
  t.strictSame(messages.map(message => message.transactionId).sort(), ['old', 'young'])
})

t.test('a group that is made in steps gets partitions that appear between the steps, and every old one', async t => {
  const pair = await startPair(t)
  // More than one step takes at once.
  const old = numbers(2300).map(i => ({ queue: 'q', partition: `p${i}`, transactionId: `p${i}`, payload: 0 }))
  await push(pair.first, old)
  const young = numbers(60).map(i => ({ queue: 'q', partition: `y${i}`, transactionId: `y${i}`, payload: 0 }))
  const seen = new Map<string, number>()
  const readers = numbers(4).map(async reader => {
    for (;;) {
      const messages = await pop(pick(pair.both, reader), 'q?consumerGroup=g&autoAck=true&wait=true&timeout=2000&partitions=200&batch=200')
      if (messages.length === 0) return
      for (const { transactionId } of messages) seen.set(transactionId, (seen.get(transactionId) ?? 0) + 1)
    }
  })
  await Promise.all([...readers, eachAtOnce(young, 6, async (item, i) => { await push(pick(pair.both, i), [item]) })])
  t.equal(seen.size, old.length + young.length, 'every partition was delivered')
  t.strictSame([...seen].filter(([, times]) => times !== 1), [], 'once')
})

t.test('every new partition reaches every new group when both appear at once, thousands of pairs', async t => {
  const pair = await startPair(t)
  const queue = 'q'
  const rounds = 120
  await push(pair.first, [{ queue, partition: 'p', transactionId: 'p', payload: 0 }])
  await eachAtOnce(numbers(rounds), 6, async i => {
    await Promise.all([
      push(pick(pair.both, i), [{ queue, partition: `p${i}`, transactionId: `p${i}`, payload: 0 }]),
      pop(pick(pair.both, i + 1), `${queue}?consumerGroup=g${i}`)
    ])
  })
  const [{ missing = -1 } = {}] = await pair.sql<{ missing: number }[]>`
    select count(*)::int as missing from regent.partitions p cross join regent.groups g
      where not exists (select from regent.cursors c where c.partition_id = p.id and c.group_id = g.id)`
  t.equal(missing, 0, 'no pair lacks its cursor')
  const wanted = ['p', ...numbers(rounds).map(i => `p${i}`)].sort()
  // The first message a group took is leased to the pop above; it counts as delivered.
  const leased = await pair.sql<{ name: string, partition: string }[]>`
    select g.name, p.name as partition from regent.cursors c join regent.groups g on g.id = c.group_id
      join regent.partitions p on p.id = c.partition_id where c.lease_id is not null`
  const short: string[] = []
  await eachAtOnce(numbers(rounds), 6, async i => {
    const got = leased.filter(lease => lease.name === `g${i}`).map(lease => lease.partition)
    while (got.length < wanted.length) {
      const messages = await pop(pick(pair.both, i), `${queue}?consumerGroup=g${i}&autoAck=true&batch=1000&partitions=1000&wait=true&timeout=3000`)
      if (messages.length === 0) break
      got.push(...messages.map(message => message.partition))
    }
    if (JSON.stringify(got.sort()) !== JSON.stringify(wanted)) short.push(`g${i}: ${got.length} of ${wanted.length}`)
  })
  t.strictSame(short, [], 'every group got every partition once')
})

t.test('a push that is under way when its queue gets a new group reaches the group', async t => {
  const pair = await startPair(t)
  await push(pair.first, [{ queue: 'q', transactionId: 'one', payload: 0 }])
  const partition = (await partitionIds(pair.sql, 'q')).get('Default') ?? 0
  const held = await hold(t, pair.sql)
  await pushByHand(held.sql, [partition], [['two']])
  const first = await pop(pair.second, 'q?consumerGroup=g&autoAck=true&batch=10')
  await held.commit()
  const then = await pop(pair.second, 'q?consumerGroup=g&autoAck=true&batch=10&wait=true&timeout=5000')
  t.strictSame([...first, ...then].map(message => message.transactionId), ['one', 'two'])
})
