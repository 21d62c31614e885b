import t from 'tap'
import { ack, configure, hold, numbers, partitionIds, pop, push, pushByHand, startPair } from './support.ts'
import type { Message } from './support.ts'
import { age, ends, faults, jobRunner } from './retention-support.ts'

const HOUR = 3600
const idsOf = (messages: Message[]): string[] => messages.map(message => message.transactionId)
const range = (from: number, to: number): string[] => numbers(to - from + 1).map(i => `${from + i}`)

t.test('eviction', async t => {
  const pair = await startPair(t)
  const { first, second, sql } = pair
  const jobs = jobRunner(t, first.databaseUrl, { evictionBatchSize: 3, retentionBatchSize: 3 })
  const fill = async (queue: string, count: number, partition = 'Default'): Promise<void> => {
    for (const transactionId of range(1, count)) await push(first, [{ queue, partition, transactionId, payload: transactionId }])
  }
  const letters = async (queue: string): Promise<Record<string, number[]>> => {
    const rows = await sql<{ consumer_group: string, positions: number[] }[]>`
      select consumer_group, json_agg(position order by position) as positions from regent.dead_letters where queue = ${queue} group by 1 order by 1`
    return Object.fromEntries(rows.map(row => [row.consumer_group, row.positions]))
  }
  const evicted = async (queue: string): Promise<number> => {
    const [row] = await sql<{ n: number }[]>`select coalesce(sum(eviction_msgs), 0)::int as n from regent.retention_history where queue = ${queue}`
    return row?.n ?? 0
  }

  t.test('moves what a group has left waiting for too long to the dead letters of that group only', async t => {
    await configure(first, 'late', { maxWaitTimeSeconds: HOUR, retryDelay: 0 })
    await fill('late', 10)
    await ack(first, await pop(first, 'late?consumerGroup=quick&batch=10'), 'quick')
    const slow = await pop(first, 'late?consumerGroup=slow&batch=4')
    await ack(first, [slow[0], slow[2]].filter(message => message !== undefined), 'slow')
    const failed = slow.slice(1, 2).map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId, status: 'failed' }))
    await first.call('POST', '/api/v1/ack/batch', { consumerGroup: 'slow', acknowledgments: failed })
    await age(sql, 'late', 2 * HOUR, 1, 8)
    await jobs.runNow('eviction')
    t.same(await letters('late'), { slow: [2, 4, 5, 6, 7, 8] })
    t.same(idsOf(await pop(second, 'late?consumerGroup=slow&batch=99')), range(9, 10))
    t.same(await pop(second, 'late?consumerGroup=quick&batch=99'), [])
    const [letter] = await sql`select error, retry_count, partition, line from regent.dead_letters where queue = 'late' and position = 2`
    t.match(letter, { error: 'Message waited longer than maxWaitTimeSeconds (3600 s)', retry_count: 1, partition: 'Default', line: /"transactionId":"2".*"data":"2"/ })
    t.equal((await sql`select from regent.attempts`).length, 0)
    t.equal(await evicted('late'), 6)
    t.same(await faults(sql), [])
    await jobs.runNow('eviction')
    t.equal(await evicted('late'), 6, 'nothing twice')
  })

  t.test('leaves what is leased, takes what stands behind it, and the lease can still be acknowledged', async t => {
    await configure(first, 'leased', { maxWaitTimeSeconds: HOUR, leaseTime: 3000 })
    await fill('leased', 8)
    const held = await pop(first, 'leased?batch=3')
    await age(sql, 'leased', 2 * HOUR, 1, 7)
    await jobs.runNow('eviction')
    t.same(await letters('leased'), { __QUEUE_MODE__: [4, 5, 6, 7] })
    await jobs.runNow('eviction')
    t.equal(await evicted('leased'), 4)
    t.same((await ack(second, held)).map(result => result.success), [true, true, true])
    t.same(idsOf(await pop(second, 'leased?batch=9')), ['8'])
    t.same(await faults(sql), [])
  })

  t.test('loses nothing of large segments with messages acknowledged out of order', async t => {
    await configure(first, 'packed', { maxWaitTimeSeconds: HOUR })
    for (const from of [1, 11, 21]) await push(first, range(from, from + 9).map(transactionId => ({ queue: 'packed', transactionId, payload: 1 })))
    const got = await pop(first, 'packed?consumerGroup=g&batch=30')
    await ack(first, got.filter(message => ['2', '3', '17'].includes(message.transactionId)), 'g')
    await sql`update regent.cursors set lease_id = null, available_at = clock_timestamp() where lease_id is not null`
    await age(sql, 'packed', 2 * HOUR)
    await jobs.runNow('eviction')
    t.strictSame(await letters('packed'), { g: numbers(30).map(i => i + 1).filter(i => ![2, 3, 17].includes(i)) })
    t.equal(await evicted('packed'), 27)
    t.strictSame(await pop(first, 'packed?consumerGroup=g&batch=30'), [])
  })

  t.test('counts the wait from when a message may be delivered', async t => {
    await configure(first, 'delayed', { maxWaitTimeSeconds: HOUR, delayedProcessing: 2 * HOUR })
    await fill('delayed', 2)
    await pop(first, 'delayed?consumerGroup=g')
    await age(sql, 'delayed', 2 * HOUR + HOUR / 2)
    await jobs.runNow('eviction')
    t.strictSame(await letters('delayed'), {})
    t.equal((await pop(first, 'delayed?consumerGroup=other&batch=9')).length, 2)
    await age(sql, 'delayed', 4 * HOUR)
    await jobs.runNow('eviction')
    t.strictSame(await letters('delayed'), { g: [1, 2] }, 'what is leased by the other group stays')
  })

  t.test('a group that has nothing left is drained, and woken by the next push', async t => {
    await configure(first, 'drained', { maxWaitTimeSeconds: HOUR })
    await fill('drained', 5)
    await pop(first, 'drained?batch=1')
    await sql`update regent.cursors set available_at = clock_timestamp() where lease_id is not null and available_at < clock_timestamp() + interval '310 seconds'`
    await age(sql, 'drained', 2 * HOUR)
    await jobs.runNow('eviction')
    t.same(await letters('drained'), { __QUEUE_MODE__: [1, 2, 3, 4, 5] })
    const [cursor] = await sql`select c.available_at = 'infinity' as drained, c.lease_id, c.acked::text from regent.cursors c
      join regent.partitions p on p.id = c.partition_id where p.queue_id = (select id from regent.queues where name = 'drained')`
    t.same(cursor, { drained: true, lease_id: null, acked: '{}' })
    const waiting = pop(second, 'drained?wait=true&timeout=15000')
    await push(first, [{ queue: 'drained', transactionId: 'next', payload: 0 }])
    t.same(idsOf(await waiting), ['next'])
  })

  t.test('does not call a partition drained that a push is about to commit to', async t => {
    await configure(first, 'raced', { maxWaitTimeSeconds: HOUR })
    await fill('raced', 2)
    await pop(first, 'raced?consumerGroup=g')
    await sql`update regent.cursors set lease_id = null, available_at = clock_timestamp() where available_at < 'infinity'`
    await age(sql, 'raced', 2 * HOUR)
    const held = await hold(t, sql)
    await pushByHand(held.sql, [(await partitionIds(sql, 'raced')).get('Default') ?? 0], [['3']])
    await jobs.runNow('eviction')
    await held.commit()
    t.same(idsOf(await pop(second, 'raced?consumerGroup=g&batch=9')), ['3'])
    t.same(await faults(sql), [])
  })

  t.test('drops it for the group where the queue keeps no dead letters', async t => {
    await configure(first, 'dropped', { maxWaitTimeSeconds: HOUR, deadLetterQueue: false })
    await fill('dropped', 4)
    await pop(first, 'dropped?consumerGroup=new&subscriptionMode=new')
    await pop(first, 'dropped?consumerGroup=g&batch=1&autoAck=true')
    await age(sql, 'dropped', 2 * HOUR, 1, 3)
    await jobs.runNow('eviction')
    t.same(await letters('dropped'), {})
    t.equal(await evicted('dropped'), 2)
    t.same(idsOf(await pop(second, 'dropped?consumerGroup=g&batch=9')), ['4'])
  })

  t.test('a queue that nobody reads loses it to the dead letters of queue mode, in whole segments', async t => {
    await configure(first, 'unread', { maxWaitTimeSeconds: HOUR })
    await push(first, range(1, 2).map(transactionId => ({ queue: 'unread', transactionId, payload: transactionId })))
    for (const transactionId of range(3, 6)) await push(first, [{ queue: 'unread', transactionId, payload: transactionId }])
    await sql`insert into regent.tombstones select id, 2 from regent.partitions where queue_id = (select id from regent.queues where name = 'unread')`
    await age(sql, 'unread', 2 * HOUR, 1, 5)
    await jobs.runNow('eviction')
    t.same(await letters('unread'), { __QUEUE_MODE__: [1, 3, 4, 5] })
    t.same(await ends(sql, 'unread'), { Default: [5, 6] })
    t.equal(await evicted('unread'), 4)
    t.same(idsOf(await pop(second, 'unread?batch=9')), ['6'])
    t.same(await faults(sql), [])
  })

  t.test('does not touch what is not for the group: before it starts, or past a shorter ttl', async t => {
    await configure(first, 'other', { maxWaitTimeSeconds: HOUR, ttl: 1800 })
    await fill('other', 3)
    await pop(first, 'other?consumerGroup=g&batch=1&autoAck=true')
    await age(sql, 'other', 2 * HOUR)
    await jobs.runNow('eviction')
    t.same(await letters('other'), {})
    await jobs.runNow('retention')
    t.same(await ends(sql, 'other'), { Default: [3, 3] })
    t.same(await faults(sql), [])
  })
})
