import { measure } from '../measure.ts'
import type { InsertJob, TakeRowsJob } from '../jobs.ts'
import { makePayloads } from '../messages.ts'
import { backlogFor, consumersOf } from './consume.ts'
import type { BenchContext, Workload } from './context.ts'

const PARTITIONS = 100
const TRIAL_ROWS = 10_000

/** What PostgreSQL does with the same bytes in an ordinary table, without any service in between. */
export function floorWorkloads (connections: number): Workload[] {
  return [...[1, 10, 100].map(batch => insertWorkload(batch, connections)), ...[1000, 1].map(batch => takeWorkload(batch, consumersOf(batch, connections)))]
}

function insertWorkload (batch: number, connections: number): Workload {
  return {
    name: `insert-${batch}`,
    title: `floor: INSERT of ${batch} row${batch === 1 ? '' : 's'}, ${PARTITIONS} partitions`,
    connections,
    run: async context => {
      const { options: { seconds, warmUpSeconds }, generator, database } = context
      const table = await makeTable(context, `floor_insert_${batch}`)
      const job: InsertJob = { kind: 'insert', url: database.url, table, connections, seconds, batch, partitions: PARTITIONS, firstNumber: 0 }
      if (warmUpSeconds > 0) job.firstNumber = (await generator.perform({ ...job, seconds: warmUpSeconds })).nextNumber
      return await measure(job, { database, serverPid: null, generator })
    }
  }
}

function takeWorkload (batch: number, connections: number): Workload {
  return {
    name: `take-${batch}`,
    title: `floor: SELECT and DELETE of ${batch} row${batch === 1 ? '' : 's'}, ${PARTITIONS} partitions`,
    connections,
    run: async context => {
      const { options: { seconds }, generator, database } = context
      const drain = async (suffix: string, rows: number): Promise<TakeRowsJob> => {
        const table = await makeTable(context, `floor_take_${batch}${suffix}`)
        await fillTable(context, table, rows)
        return { kind: 'take-rows', url: database.url, table, connections, rows, batch, partitions: PARTITIONS }
      }
      const warmUp = await generator.perform(await drain('_trial', TRIAL_ROWS))
      return await measure(await drain('', backlogFor(warmUp.messages / warmUp.seconds, seconds)), { database, serverPid: null, generator })
    }
  }
}

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
    select n / 100 % ${PARTITIONS}, gen_random_uuid()::text, $1 from generate_series(0, ${rows} - 1) as n`, [makePayloads()[0] ?? ''])
  await sql.unsafe(`vacuum analyze ${table}`)
}
