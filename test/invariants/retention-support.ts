import type postgres from 'postgres'
import type { Test } from 'tap'
import type { ConnectionOptions } from '../../services/database/connection.ts'
import { jobsOf } from '../../services/jobs/jobs.ts'
import type { JobSettings } from '../../services/jobs/jobs.ts'
import { JobRunner } from '../../services/jobs/runner.ts'
import type { JobRunnerOptions } from '../../services/jobs/runner.ts'

export const QUIET = { debug () {}, info () {}, warn () {}, error () {} }

/** How a test's own job runner reaches a database. */
export function jobConnection (url: string, name = 'test'): ConnectionOptions {
  return { url, schema: 'regent', applicationName: name, connectTimeoutMs: 10_000, statementTimeoutMs: 20_000, lockTimeoutMs: 20_000 }
}

/** A runner that works beside the service's own, to run jobs when the test wants them. Closed with the test. */
export function jobRunner (t: Test, url: string, settings: Partial<JobSettings> = {}, options: Partial<JobRunnerOptions> = {}): JobRunner {
  const runner = new JobRunner({
    connection: jobConnection(url),
    callTimeoutMs: 30_000,
    lockRetryMs: 50,
    jobs: jobsOf({
      retentionIntervalMs: 3_600_000,
      evictionIntervalMs: 3_600_000,
      retentionBatchSize: 1000,
      evictionBatchSize: 1000,
      partitionCleanupDays: 30,
      metricsRetentionDays: 90,
      deadLetterRetentionDays: 0,
      traceRetentionDays: 30,
      ...settings
    }),
    log: QUIET,
    ...options
  })
  t.teardown(async () => { await runner.close() })
  return runner
}

/** Make what a queue holds so many seconds old: segments from `first` to `last`, or all of them. */
export async function age (sql: postgres.Sql, queue: string, seconds: number, first = 0, last = Number.MAX_SAFE_INTEGER): Promise<void> {
  await sql`
    update regent.segments s set created_at = now() - make_interval(secs => ${seconds})
      from regent.partitions p join regent.queues q on q.id = p.queue_id
      where q.name = ${queue} and s.partition_id = p.id and s.first between ${first} and ${last}`
  await sql`
    update regent.partitions p set oldest_at = coalesce((
        select s.created_at from regent.segments s where s.partition_id = p.id and s.first > p.tail order by s.first limit 1), 'infinity')
      from regent.queues q where q.id = p.queue_id and q.name = ${queue}`
}

/** Where the partitions of a queue begin and end, by name, and whether each has its segments from there. */
export async function ends (sql: postgres.Sql, queue: string): Promise<Record<string, [tail: number, head: number]>> {
  const rows = await sql<{ name: string, tail: number, head: number }[]>`
    select p.name, p.tail::int, p.head::int from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = ${queue} order by p.name`
  return Object.fromEntries(rows.map(row => [row.name, [row.tail, row.head]]))
}

/** What must hold whatever was deleted; the faults found. */
export async function faults (sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ fault: string }[]>`
    select 'cursor before the tail' as fault from regent.cursors c join regent.partitions p on p.id = c.partition_id where c.committed < p.tail
    union all
    select 'cursor drained with something to read' from regent.cursors c join regent.partitions p on p.id = c.partition_id
      where c.available_at = 'infinity' and c.committed < p.head
    union all
    select 'segment before the tail' from regent.segments s join regent.partitions p on p.id = s.partition_id where s.first + s.count - 1 <= p.tail
    union all
    select 'hole behind the tail' from regent.partitions p
      where p.head > p.tail and p.tail + 1 is distinct from (select min(s.first) from regent.segments s where s.partition_id = p.id)
    union all
    select 'messages missing' from regent.partitions p
      where p.head - p.tail <> coalesce((select sum(s.count) from regent.segments s where s.partition_id = p.id), 0)
    union all
    select 'age is wrong' from regent.partitions p
      left join lateral (select created_at from regent.segments where partition_id = p.id order by first limit 1) s on true
      where case when p.head = p.tail then p.oldest_at < 'infinity'
        else not p.oldest_at between s.created_at - interval '1 second' and s.created_at + interval '1 second' end
    union all
    select 'acked holds what is committed' from regent.cursors c where c.acked && int8multirange(int8range(null, c.committed, '[]'))
    union all
    select 'attempts at what is committed' from regent.attempts a join regent.cursors c using (partition_id, group_id) where a.position <= c.committed`
  return rows.map(row => row.fault)
}
