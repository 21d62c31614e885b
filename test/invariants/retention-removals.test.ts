import t from 'tap'
import type postgres from 'postgres'
import { ack, all, hold, numbers, partitionIds, pop, push, pushByHand, startPair, untilBlocked } from './support.ts'
import { startService, connect, until } from '../support.ts'
import { jobRunner } from './retention-support.ts'

/** What is left in tables of things that are gone. */
async function leftovers (sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ what: string }[]>`
    select 'removal' as what from regent.removals union all
    select 'letter' from regent.dead_letters d where not exists (select from regent.queues q where q.id = d.queue_id) union all
    select 'cursor' from regent.cursors c where not exists (select from regent.partitions p where p.id = c.partition_id)
      or not exists (select from regent.groups g where g.id = c.group_id) union all
    select 'segment' from regent.segments s where not exists (select from regent.partitions p where p.id = s.partition_id) union all
    select 'attempt' from regent.attempts a where not exists (select from regent.partitions p where p.id = a.partition_id) union all
    select 'tombstone' from regent.tombstones b where not exists (select from regent.partitions p where p.id = b.partition_id)`
  return rows.map(row => row.what)
}

/** Steps until nothing is left to do; how many it took. */
async function clear (sql: postgres.Sql, rows = 1000): Promise<number> {
  for (let steps = 0; ; steps++) {
    const [row] = await sql<{ gone: number }[]>`select regent.removal_step_v1(${rows}) as gone`
    if (row?.gone === 0) return steps
  }
}

t.test('a deleted queue with many partitions is gone at once and cleared in bounded steps, by several at a time', async t => {
  const pair = await startPair(t)
  const { sql } = pair
  const items = numbers(300).map(i => ({ queue: 'wide', partition: `p${i}`, transactionId: `${i}`, payload: i }))
  await push(pair.first, items)
  await push(pair.first, items.map(item => ({ ...item, queue: 'other' })))
  await pop(pair.first, 'wide?consumerGroup=g&batch=500&partitions=500')
  await pop(pair.first, 'wide?batch=10&partitions=10')
  const letters = await pop(pair.first, 'wide?consumerGroup=dead&batch=20&partitions=20')
  await pair.first.call('POST', '/api/v1/ack/batch', {
    consumerGroup: 'dead',
    acknowledgments: letters.map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId, status: 'dlq' }))
  })
  t.equal((await sql`select from regent.dead_letters`).length, 20)
  await sql`insert into regent.tombstones select id, 1 from regent.partitions where queue_id = (select id from regent.queues where name = 'wide')`
  await sql`insert into regent.attempts (partition_id, group_id, position) select partition_id, group_id, 1 from regent.cursors`

  await sql`select regent.delete_queue_v1('wide')`
  t.same(await pop(pair.second, 'wide?consumerGroup=g'), [])
  t.equal((await sql`select from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = 'wide'`).length, 0)
  const before = (await leftovers(sql)).length
  const [step] = await sql<{ gone: number }[]>`select regent.removal_step_v1(50) as gone`
  t.ok(step !== undefined && step.gone > 0 && step.gone <= 60, `a step is bounded: ${step?.gone}`)
  t.ok((await leftovers(sql)).length >= before - 60)
  const steps = await all([clear(sql, 50), clear(sql, 50), clear(sql, 50)])
  t.ok(steps.every(count => count > 0), `all of them worked: ${steps.join(', ')}`)
  t.same(await leftovers(sql), [])
  t.equal((await pop(pair.first, 'other?batch=500&partitions=500')).length, 300, 'the other queue is untouched')
})

t.test('a long partition is cleared in as many steps as it takes', async t => {
  const { first, sql } = await startPair(t)
  await push(first, [{ queue: 'long', transactionId: 'one' }])
  const id = (await partitionIds(sql, 'long')).get('Default') ?? 0
  await sql`insert into regent.segments select ${id}::bigint, i, 1, 1, clock_timestamp(), '{}', '' from generate_series(2, 2500) i`
  await sql`select regent.delete_queue_v1('long')`
  t.ok(await clear(sql) >= 3)
  t.same(await leftovers(sql), [])
})

t.test('a push under way when its queue is deleted is either deleted as well or starts the queue anew', async t => {
  const pair = await startPair(t)
  const { sql } = pair
  await push(pair.first, [{ queue: 'raced', transactionId: 'one', payload: 1 }])
  const old = (await partitionIds(sql, 'raced')).get('Default') ?? 0
  const held = await hold(t, sql)
  await pushByHand(held.sql, [old], [['two']])
  const removed = pair.first.call('DELETE', '/api/v1/resources/queues/raced')
  await untilBlocked(sql)
  const pushed = push(pair.second, [{ queue: 'raced', transactionId: 'three', payload: 3 }])
  await held.commit()
  t.same((await removed).json, { deleted: true, queue: 'raced', existed: true })
  await pushed
  // In either order: three came before the deletion and is gone, or came after it.
  const left = (await pop(pair.first, 'raced?batch=9')).map(message => message.transactionId)
  t.ok(left.length === 0 || JSON.stringify(left) === '["three"]', JSON.stringify(left))
  await push(pair.second, [{ queue: 'raced', transactionId: 'four', payload: 4 }])
  t.same((await pop(pair.second, 'raced?batch=9&consumerGroup=g')).map(message => message.transactionId), [...left, 'four'])
  await until(async () => (await leftovers(sql)).length === 0)
})

t.test('what a crash left of a deletion is cleared by the job of whoever is there', async t => {
  const { first, sql } = await startPair(t)
  await push(first, numbers(50).map(i => ({ queue: 'crashed', partition: `p${i}`, transactionId: `${i}` })))
  await pop(first, 'crashed?consumerGroup=g')
  await sql`select regent.delete_queue_v1('crashed')`
  // The process dies in mid-step: all of the step is undone.
  const held = await hold(t, sql)
  await held.sql`select regent.removal_step_v1(20)`
  const whole = (await leftovers(sql)).length
  await held.rollback()
  t.equal((await leftovers(sql)).length, whole)
  t.ok(whole > 50)
  await jobRunner(t, first.databaseUrl).runNow('removals')
  t.same(await leftovers(sql), [])
})

t.test('a deleted partition starts anew with the next push, for every group, old and new', async t => {
  const pair = await startPair(t)
  const { sql } = pair
  await push(pair.first, [{ queue: 'q', partition: 'p', transactionId: 'a' }, { queue: 'q', partition: 'other', transactionId: 'b' }])
  await pop(pair.first, 'q/partition/p?consumerGroup=g')
  const [gone] = await sql`select regent.delete_partition_v1('q', 'p') as existed, regent.delete_partition_v1('q', 'none') as none`
  t.same(gone, { existed: true, none: false })
  t.equal((await sql`select from regent.cursors c where not exists (select from regent.partitions p where p.id = c.partition_id)`).length, 0, 'nothing of it stands in the way of a pop')
  await push(pair.second, [{ queue: 'q', partition: 'p', transactionId: 'a', payload: 'new' }])
  for (const group of ['g', 'h']) {
    const messages = await pop(pair.second, `q?consumerGroup=${group}&batch=9&partitions=9`)
    t.same(messages.map(message => message.transactionId).sort(), ['a', 'b'], group)
    t.ok((await ack(pair.second, messages, group)).every(result => result.success))
  }
  await clear(sql)
  t.same(await leftovers(sql), [])
})

t.test('a partition is not deleted under a group that is being made', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl, 4)
  await push(service, [{ queue: 'q', partition: 'p', transactionId: 'a' }])
  const held = await hold(t, sql)
  await held.sql`insert into regent.groups (queue_id, name) select id, 'g' from regent.queues`
  await held.sql`select regent.seed_group_v1(id, 1) from regent.groups`
  await held.commit()
  await sql`update regent.groups set seeded_to = 0`
  await sql`delete from regent.cursors`
  // The group's cursor is made while a push holds the partition, which therefore cannot be locked along with it.
  const pushing = await hold(t, sql)
  await pushByHand(pushing.sql, [(await partitionIds(sql, 'q')).get('p') ?? 0], [['b']])
  const step = await hold(t, sql)
  await step.sql`select regent.seed_group_v1(id, 1) from regent.groups`
  await pushing.commit()
  const removed = sql`select regent.delete_partition_v1('q', 'p')`.execute()
  await untilBlocked(sql)
  await step.commit()
  await removed
  await clear(sql)
  t.same(await leftovers(sql), [])
})
