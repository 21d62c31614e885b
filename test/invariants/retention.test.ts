import t from 'tap'
import { ack, configure, hold, numbers, partitionIds, pop, push, pushByHand, startPair } from './support.ts'
import type { Message } from './support.ts'
import { age, ends, faults, jobRunner } from './retention-support.ts'

const HOUR = 3600
const idsOf = (messages: Message[]): string[] => messages.map(message => message.transactionId)
const range = (from: number, to: number): string[] => numbers(to - from + 1).map(i => `${from + i}`)

t.test('retention of a queue', async t => {
  const pair = await startPair(t)
  const { first, second, sql } = pair
  const jobs = jobRunner(t, first.databaseUrl, { retentionBatchSize: 5 })
  /** One segment per message, ids from 1. */
  const fill = async (queue: string, count: number, partition = 'Default'): Promise<void> => {
    for (const transactionId of range(1, count)) await push(first, [{ queue, partition, transactionId, payload: transactionId }])
  }
  const history = async (queue: string): Promise<object> => {
    const [row] = await sql`
      select sum(retention_msgs)::int as retention, sum(completed_retention_msgs)::int as completed, sum(eviction_msgs)::int as eviction
        from regent.retention_history where queue = ${queue}`
    return { ...row }
  }

  t.test('by age: what is older goes, read or not; what is younger stays; cursors and drained marks are right', async t => {
    await configure(first, 'aged', { retentionEnabled: true, retentionSeconds: HOUR })
    await fill('aged', 12)
    await pop(first, 'aged?consumerGroup=all-read&batch=12&autoAck=true')
    await ack(first, await pop(first, 'aged?consumerGroup=partly&batch=3'), 'partly')
    await age(sql, 'aged', 2 * HOUR, 1, 8)
    await jobs.runNow('retention')
    t.same(await ends(sql, 'aged'), { Default: [8, 12] })
    t.same(await faults(sql), [])
    t.same(idsOf(await pop(second, 'aged?consumerGroup=partly&batch=99')), range(9, 12))
    t.same(idsOf(await pop(second, 'aged?consumerGroup=new&batch=99')), range(9, 12), 'a group made later gets what is left, in order')
    t.same(idsOf(await pop(second, 'aged?consumerGroup=all-read&batch=99')), [])
    t.same(await history('aged'), { retention: 8, completed: 0, eviction: 0 })

    await age(sql, 'aged', 2 * HOUR)
    await sql`update regent.cursors set available_at = clock_timestamp() - interval '1 second' where lease_id is not null`
    await jobs.runNow('retention')
    t.same(await ends(sql, 'aged'), { Default: [12, 12] }, 'a lease that has run out protects nothing')
    t.same(await faults(sql), [])
    const left = await sql`select from regent.cursors c join regent.groups g on g.id = c.group_id
      join regent.queues q on q.id = g.queue_id where q.name = 'aged' and c.available_at < 'infinity'`
    t.equal(left.length, 0, 'nobody is looked at any more')
    await push(second, [{ queue: 'aged', transactionId: 'next', payload: 0 }])
    t.same(idsOf(await pop(first, 'aged?consumerGroup=partly&batch=99')), ['next'])
    t.equal((await sql`select from regent.attempts`).length, 0)
  })

  t.test('by age: does not take what is leased, nor what stands behind it', async t => {
    await configure(first, 'leased', { retentionEnabled: true, retentionSeconds: HOUR, leaseTime: 3000 })
    await fill('leased', 10)
    await ack(first, await pop(first, 'leased?batch=2'))
    const held = await pop(first, 'leased?batch=3')
    t.same(idsOf(held), range(3, 5))
    await age(sql, 'leased', 2 * HOUR)
    await jobs.runNow('retention')
    t.same(await ends(sql, 'leased'), { Default: [2, 10] })
    t.ok((await ack(second, held)).every(result => result.success))
    await jobs.runNow('retention')
    t.same(await ends(sql, 'leased'), { Default: [10, 10] })
    t.same(await faults(sql), [])
    t.same(await pop(second, 'leased?batch=9'), [])
  })

  t.test('by completion: only what every group has acknowledged, by position', async t => {
    await configure(first, 'done', { retentionEnabled: true, completedRetentionSeconds: HOUR })
    await fill('done', 10)
    await age(sql, 'done', 2 * HOUR, 1, 8)
    await jobs.runNow('retention')
    t.same(await ends(sql, 'done'), { Default: [0, 10] }, 'a queue without a group has completed nothing')

    await ack(first, await pop(first, 'done?consumerGroup=a&batch=10'), 'a')
    const b = await pop(first, 'done?consumerGroup=b&batch=6')
    await ack(first, [...b.slice(0, 3), ...b.slice(4, 6)], 'b')
    await jobs.runNow('retention')
    t.same(await ends(sql, 'done'), { Default: [3, 10] }, 'not past a message that was left out')
    await ack(first, b.slice(3, 4), 'b')
    await jobs.runNow('retention')
    t.same(await ends(sql, 'done'), { Default: [6, 10] })
    await ack(first, await pop(first, 'done?consumerGroup=b&batch=9'), 'b')
    await jobs.runNow('retention')
    t.same(await ends(sql, 'done'), { Default: [8, 10] }, 'not what is too young')
    t.same(await faults(sql), [])
    t.same(await history('done'), { retention: 0, completed: 8, eviction: 0 })
    t.same(idsOf(await pop(second, 'done?consumerGroup=c&batch=99')), range(9, 10))
  })

  t.test('by completion: waits for a group that is being made', async t => {
    await configure(first, 'seeding', { retentionEnabled: true, completedRetentionSeconds: HOUR })
    await fill('seeding', 3)
    await ack(first, await pop(first, 'seeding?consumerGroup=a&batch=9'), 'a')
    await age(sql, 'seeding', 2 * HOUR)
    await sql`insert into regent.groups (queue_id, name) select id, 'late' from regent.queues where name = 'seeding'`
    await jobs.runNow('retention')
    t.same(await ends(sql, 'seeding'), { Default: [0, 3] })
    t.same(idsOf(await pop(second, 'seeding?consumerGroup=late&batch=9&autoAck=true')), range(1, 3))
    await jobs.runNow('retention')
    t.same(await ends(sql, 'seeding'), { Default: [3, 3] })
  })

  t.test('by ttl, without retention being enabled: what is older goes, read or not', async t => {
    await configure(first, 'ttl', { ttl: HOUR })
    await configure(first, 'kept', { retentionSeconds: HOUR, completedRetentionSeconds: HOUR })
    for (const queue of ['ttl', 'kept']) {
      await fill(queue, 6)
      await ack(first, await pop(first, `${queue}?batch=1`))
      await age(sql, queue, 2 * HOUR, 1, 4)
    }
    await jobs.runNow('retention')
    t.same(await ends(sql, 'ttl'), { Default: [4, 6] })
    t.same(await ends(sql, 'kept'), { Default: [0, 6] }, 'the switch of the others is off')
    t.same(idsOf(await pop(second, 'ttl?batch=9')), range(5, 6))
  })

  t.test('takes whole segments only, and all of those that share a time in as many steps as it takes', async t => {
    await configure(first, 'packed', { retentionEnabled: true, completedRetentionSeconds: HOUR })
    for (const from of [1, 11, 21]) await push(first, range(from, from + 9).map(transactionId => ({ queue: 'packed', transactionId, payload: 0 })))
    await age(sql, 'packed', 2 * HOUR)
    await ack(first, await pop(first, 'packed?batch=25'))
    await jobs.runNow('retention')
    t.same(await ends(sql, 'packed'), { Default: [20, 30] })
    t.same(await faults(sql), [])
    t.same(idsOf(await pop(second, 'packed?batch=99')), range(26, 30))
  })

  t.test('walks over more partitions than a step looks at, all of one age', async t => {
    await configure(first, 'wide', { retentionEnabled: true, completedRetentionSeconds: HOUR })
    await push(first, numbers(1100).map(i => ({ queue: 'wide', partition: `p${i}`, transactionId: '1', payload: 0 })))
    const readAll = async (group: string): Promise<void> => {
      while ((await pop(first, `wide?consumerGroup=${group}&batch=2000&partitions=500&autoAck=true`)).length > 0);
    }
    await readAll('g')
    await push(first, [{ queue: 'wide', partition: 'p7', transactionId: '2', payload: 0 }])
    await pop(first, 'wide/partition/p9?consumerGroup=h&autoAck=true')
    await age(sql, 'wide', 2 * HOUR)
    await jobRunner(t, first.databaseUrl).runNow('retention')
    const emptied = async (): Promise<string[]> => Object.entries(await ends(sql, 'wide')).filter(([, [tail]]) => tail > 0).map(([name]) => name)
    t.same(await emptied(), ['p9'], 'h has read nothing else')
    await readAll('h')
    await jobRunner(t, first.databaseUrl).runNow('retention')
    t.equal((await emptied()).length, 1100)
    t.match(await ends(sql, 'wide'), { p7: [1, 2] }, 'g has yet to read the second one')
    t.same(await faults(sql), [])
  })

  t.test('passes over a partition that a push holds, and finds it afterwards', async t => {
    await configure(first, 'busy', { retentionEnabled: true, retentionSeconds: HOUR })
    await push(first, ['p', 'q'].map(partition => ({ queue: 'busy', partition, transactionId: '1', payload: 0 })))
    await pop(first, 'busy?autoAck=true&batch=9&partitions=9')
    await age(sql, 'busy', 2 * HOUR)
    const held = await hold(t, sql)
    await pushByHand(held.sql, [(await partitionIds(sql, 'busy')).get('p') ?? 0], [['2']])
    await jobs.runNow('retention')
    t.match(await ends(sql, 'busy'), { p: [0, 1], q: [1, 1] })
    await held.commit()
    await jobs.runNow('retention')
    t.match(await ends(sql, 'busy'), { p: [1, 2], q: [1, 1] })
    t.same(idsOf(await pop(second, 'busy?batch=9&partitions=9')), ['2'])
    t.same(await faults(sql), [])
  })

  t.test('leaves dead letters, and forgets failures and deleted messages along with the log', async t => {
    await configure(first, 'letters', { retentionEnabled: true, retentionSeconds: HOUR, retryDelay: 0 })
    await fill('letters', 3)
    const [one, two] = await pop(first, 'letters?batch=2')
    await first.call('POST', '/api/v1/ack/batch', {
      acknowledgments: [{ ...one, status: 'dlq', error: 'no' }, { ...two, status: 'failed' }].map(({ transactionId, partitionId, leaseId, status }) => ({ transactionId, partitionId, leaseId, status }))
    })
    await sql`insert into regent.tombstones select id, 3 from regent.partitions where queue_id = (select id from regent.queues where name = 'letters')`
    await age(sql, 'letters', 2 * HOUR)
    await jobs.runNow('retention')
    t.same(await ends(sql, 'letters'), { Default: [3, 3] })
    t.equal((await sql`select from regent.dead_letters`).length, 1)
    t.equal((await sql`select from regent.attempts`).length, 0)
    t.equal((await sql`select from regent.tombstones`).length, 0)
    t.same(await faults(sql), [])
  })

  t.test('gives back what an automatic acknowledgement took without going before the tail', async t => {
    await configure(first, 'back', { retentionEnabled: true, completedRetentionSeconds: HOUR })
    await fill('back', 4)
    await pop(first, 'back?autoAck=true&batch=4')
    await age(sql, 'back', 2 * HOUR, 1, 2)
    await jobs.runNow('retention')
    t.same(await ends(sql, 'back'), { Default: [2, 4] })
    const [cursor] = await sql`select c.partition_id, c.group_id from regent.cursors c join regent.partitions p on p.id = c.partition_id
      where p.queue_id = (select id from regent.queues where name = 'back')`
    await sql`select regent.release_v2(array[${cursor?.partition_id}::bigint], array[${cursor?.group_id}::bigint], array[null::uuid], array[1::bigint], array[4::bigint], 0)`
    t.same(await faults(sql), [])
    t.same(idsOf(await pop(second, 'back?batch=9')), range(3, 4))
  })
})
