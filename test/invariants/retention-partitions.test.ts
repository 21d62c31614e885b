import t from 'tap'
import type postgres from 'postgres'
import { ack, configure, hold, numbers, partitionIds, pop, push, pushByHand, startPair, untilBlocked } from './support.ts'
import { age, faults, jobRunner } from './retention-support.ts'

const DAY = 86_400

/** The partitions of a queue: empty for so many days, as retention leaves them. */
async function idle (sql: postgres.Sql, queue: string, days: number): Promise<void> {
  await sql`update regent.partitions p set last_at = clock_timestamp() - make_interval(days => ${days}), created_at = clock_timestamp() - make_interval(days => ${days})
    from regent.queues q where q.id = p.queue_id and q.name = ${queue}`
}

t.test('idle partitions', async t => {
  const pair = await startPair(t)
  const { first, second, sql } = pair
  const jobs = jobRunner(t, first.databaseUrl)
  const names = async (queue: string): Promise<string[]> => [...(await partitionIds(sql, queue)).keys()]

  t.test('are deleted once they are empty and old; those that hold a message, are young or leased stay', async t => {
    await configure(first, 'q', { retentionEnabled: true, retentionSeconds: 60 })
    for (const partition of ['old', 'leased', 'young', 'full']) await push(first, [{ queue: 'q', partition, transactionId: '1', payload: 0 }])
    await pop(first, 'q?consumerGroup=g&batch=9&partitions=9&autoAck=true')
    await age(sql, 'q', 40 * DAY)
    await jobs.runNow('retention')
    await push(first, [{ queue: 'q', partition: 'full', transactionId: '2', payload: 0 }])
    await idle(sql, 'q', 31)
    await sql`update regent.partitions set last_at = clock_timestamp() - interval '29 days' where name = 'young'`
    await sql`update regent.cursors set lease_id = gen_random_uuid(), available_at = clock_timestamp() + interval '1 hour'
      where partition_id in (select id from regent.partitions where name = 'leased')`
    await jobs.runNow('partitions')
    t.same((await names('q')).sort(), ['full', 'leased', 'young'])
    const [row] = await sql`select sum(partitions_deleted)::int as deleted from regent.retention_history where queue = 'q'`
    t.equal(row?.deleted, 2, 'old, and Default of the configuration')
    await jobs.runNow('removals')
    t.equal((await sql`select from regent.removals`).length, 0)

    await push(second, [{ queue: 'q', partition: 'old', transactionId: '1', payload: 'again' }])
    t.same((await pop(second, 'q/partition/old?consumerGroup=g')).map(message => message.data), ['again'], 'it starts anew')
    t.same(await faults(sql), [])
  })

  t.test('are left alone when a push holds them, and are gone for one that comes later', async t => {
    await push(first, [{ queue: 'raced', partition: 'p', transactionId: '1', payload: 0 }])
    await ack(first, await pop(first, 'raced'))
    await sql`delete from regent.segments where partition_id = ${(await partitionIds(sql, 'raced')).get('p') ?? 0}`
    await sql`update regent.partitions set tail = head, oldest_at = 'infinity' where name = 'p'`
    await idle(sql, 'raced', 31)
    const id = (await partitionIds(sql, 'raced')).get('p') ?? 0
    const held = await hold(t, sql)
    await pushByHand(held.sql, [id], [['2']])
    await jobs.runNow('partitions')
    await held.commit()
    t.same((await pop(first, 'raced')).map(message => message.transactionId), ['2'])
    await ack(first, await pop(first, 'raced'))

    await sql`delete from regent.segments where partition_id = ${id}`
    await sql`update regent.partitions set tail = head, oldest_at = 'infinity' where name = 'p'`
    await sql`update regent.cursors c set committed = p.head, available_at = 'infinity', lease_id = null from regent.partitions p where p.id = c.partition_id`
    await idle(sql, 'raced', 31)
    const step = await hold(t, sql)
    const [row] = await step.sql<{ deleted: number }[]>`select deleted from regent.idle_partitions_step_v1(30, 0, 1000)`
    t.ok((row?.deleted ?? 0) >= 1)
    const pushed = push(second, [{ queue: 'raced', partition: 'p', transactionId: '3', payload: 0 }])
    await untilBlocked(sql)
    await step.commit()
    await pushed
    t.not((await partitionIds(sql, 'raced')).get('p'), id)
    t.same((await pop(second, 'raced?wait=true&timeout=15000')).map(message => message.transactionId), ['3'])
  })

  t.test('are left alone when a push holds them, also where there is no group', async t => {
    await push(first, [{ queue: 'nobody', partition: 'p', transactionId: '1', payload: 0 }])
    const id = (await partitionIds(sql, 'nobody')).get('p') ?? 0
    await sql`delete from regent.segments where partition_id = ${id}`
    await sql`update regent.partitions set tail = head, oldest_at = 'infinity' where id = ${id}`
    await idle(sql, 'nobody', 31)
    const held = await hold(t, sql)
    await pushByHand(held.sql, [id], [['2']])
    await jobs.runNow('partitions')
    await held.commit()
    t.same((await pop(first, 'nobody')).map(message => message.transactionId), ['2'])
  })

  t.test('are found among many, in bounded steps', async t => {
    await push(first, numbers(40).map(i => ({ queue: 'many', partition: `p${i}`, transactionId: '1', payload: 0 })))
    await sql`delete from regent.segments s using regent.partitions p where p.id = s.partition_id and p.name like 'p%' and p.id % 2 = 0`
    await sql`update regent.partitions set tail = head, oldest_at = 'infinity' where name like 'p%' and id % 2 = 0`
    await idle(sql, 'many', 31)
    const before = (await names('many')).length
    const [step] = await sql<{ deleted: number, after: string | null }[]>`select * from regent.idle_partitions_step_v1(30, 0, 5)`
    t.not(step?.after, null)
    await jobs.runNow('partitions')
    t.equal((await names('many')).length, before - 20)
    const [end] = await sql`select * from regent.idle_partitions_step_v1(30, ${Number.MAX_SAFE_INTEGER}, 5)`
    t.same(end, { deleted: 0, after: null })
  })

  t.test('are kept when that is asked for', async t => {
    await push(first, [{ queue: 'kept', partition: 'p', transactionId: '1', payload: 0 }])
    await sql`delete from regent.segments s using regent.partitions p where p.id = s.partition_id and p.queue_id = (select id from regent.queues where name = 'kept')`
    await sql`update regent.partitions set tail = head, oldest_at = 'infinity' where queue_id = (select id from regent.queues where name = 'kept')`
    await idle(sql, 'kept', 10_000)
    await jobRunner(t, first.databaseUrl, { partitionCleanupDays: 0 }).runNow('partitions')
    t.same(await names('kept'), ['p'])
  })
})

t.test('what is only kept for so many days goes: dead letters, traces, history', async t => {
  const { first, sql } = await startPair(t)
  await push(first, [{ queue: 'q', transactionId: '1', payload: 0 }])
  const [message] = await pop(first, 'q')
  const { transactionId, partitionId, leaseId } = message ?? {}
  await first.call('POST', '/api/v1/ack/batch', { acknowledgments: [{ transactionId, partitionId, leaseId, status: 'dlq' }] })
  await sql`update regent.dead_letters set failed_at = clock_timestamp() - interval '11 days'`
  await sql`insert into regent.traces (partition_id, position, transaction_id, queue, partition, consumer_group, event_type, worker_id, data, names, created_at)
    select 1, 1, '1', 'q', 'p', 'g', 'e', 'w', '{}', '{}', clock_timestamp() - make_interval(days => d) from unnest(array[1, 11]) as d`
  await sql`insert into regent.retention_history (bucket, queue) select clock_timestamp() - make_interval(days => d), 'q' from unnest(array[1, 11]) as d`
  const counts = async (): Promise<object> => {
    const [row] = await sql`select (select count(*) from regent.dead_letters)::int as letters, (select count(*) from regent.traces)::int as traces,
      (select count(*) from regent.retention_history)::int as history`
    return { ...row }
  }
  await jobRunner(t, first.databaseUrl, { deadLetterRetentionDays: 0, traceRetentionDays: 0, metricsRetentionDays: 0 }).runNow('expiry')
  t.same(await counts(), { letters: 1, traces: 2, history: 2 }, '0 keeps them')
  await jobRunner(t, first.databaseUrl, { deadLetterRetentionDays: 10, traceRetentionDays: 10, metricsRetentionDays: 10 }).runNow('expiry')
  t.same(await counts(), { letters: 0, traces: 1, history: 1 })
})
