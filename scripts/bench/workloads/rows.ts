import { measure } from '../measure.ts'
import type { InsertJob, TakeRowsJob } from '../jobs.ts'
import { makePayloads } from '../messages.ts'
import type { BenchContext, Workload } from './context.ts'
import { FILL_BATCH, PARTITIONS, backlogFor } from './sizes.ts'
import { warmUpByBacklogs } from './warm-up.ts'

const TRIAL_ROWS = 10_000

/** What PostgreSQL does with the same bytes in an ordinary table, without any service in between. */
export const insertWorkloads: Workload[] = [{ batch: 100, connections: 16 }, { batch: 10, connections: 64 }, { batch: 1, connections: 64 }].map(({ batch, connections }) => ({
  name: `insert-${batch}`,
  title: `INSERT of ${batch} row${batch === 1 ? '' : 's'}`,
  section: 'floor',
  connections,
  run: async context => {
    const table = await makeTable(context, 'floor')
    const job: InsertJob = { kind: 'insert', url: context.database.url, table, connections, seconds: context.seconds, batch, partitions: PARTITIONS, firstNumber: 0 }
    if (context.warmUpSeconds > 0) job.firstNumber = (await context.generator.perform({ ...job, seconds: context.warmUpSeconds })).nextNumber
    return await measure(job, context, { serverPid: null, stored: async () => await rowsIn(context, table) })
  }
}))

export const takeWorkloads: Workload[] = [{ batch: 1000, connections: 8 }, { batch: 1, connections: 16 }].map(({ batch, connections }) => ({
  name: `take-${batch}`,
  title: `SELECT and DELETE of ${batch} row${batch === 1 ? '' : 's'}`,
  section: 'floor',
  connections,
  run: async context => {
    const backlog = async (name: string, rows: number): Promise<TakeRowsJob> => {
      const table = await makeTable(context, name)
      await fillTable(context, table, rows)
      return { kind: 'take-rows', url: context.database.url, table, connections, rows, batch, partitions: PARTITIONS }
    }
    const perSecond = await warmUpByBacklogs(context.warmUpSeconds, TRIAL_ROWS, async (table, rows) => await context.generator.perform(await backlog(table, rows)))
    return await measure(await backlog('floor', backlogFor(perSecond, context.seconds)), context, { serverPid: null })
  }
}))

async function makeTable ({ database: { sql } }: BenchContext, name: string): Promise<string> {
  await sql.unsafe(`create table ${name} (
    partition_id int not null,
    id bigint generated always as identity,
    transaction_id text not null,
    payload text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (partition_id, id),
    unique (partition_id, transaction_id))`)
  return name
}

async function fillTable ({ database: { sql } }: BenchContext, table: string, rows: number): Promise<void> {
  await sql.unsafe(`insert into ${table} (partition_id, transaction_id, payload)
    select n / ${FILL_BATCH} % ${PARTITIONS}, gen_random_uuid()::text, $1 from generate_series(0, ${rows} - 1) as n`, [makePayloads()[0] ?? ''])
  await sql.unsafe(`vacuum analyze ${table}`)
}

async function rowsIn ({ database: { sql } }: BenchContext, table: string): Promise<number> {
  const [row] = await sql<{ total: number }[]>`select count(*)::float8 as total from ${sql(table)}`
  return row?.total ?? 0
}
