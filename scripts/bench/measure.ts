import type { Sql } from 'postgres'
import type { Job, LoadResult } from './jobs.ts'
import { readTreeCpu, readTreePss, readTreeRss } from './proc.ts'
import { readStatements, resetStatements } from './statements.ts'
import type { Statement } from './statements.ts'
import type { BenchContext } from './workloads/context.ts'

/** What a load cost. Null where it cannot be seen, or has no such process. */
export interface Usage {
  /** From before the load to after it; what CPU times refer to. */
  wallSeconds: number
  serverCpuSeconds: number | null
  postgresCpuSeconds: number | null
  generatorCpuSeconds: number | null
  serverRssBytes: number | null
  postgresPssBytes: number | null
  walBytes: number
  commits: number
  diskBytes: number
  /** When the load began and ended, by the clock that V8's profiles use (monotonic, microseconds). */
  beganAtUs: number
  endedAtUs: number
  /** Only where statements are counted. */
  statements: Statement[] | null
}

export type Measurement = LoadResult & Usage

export interface Measured {
  /** The server under load; null: none but PostgreSQL. */
  serverPid: number | null
  /** Messages stored so far: must grow by as many as are answered to be. */
  stored?: () => Promise<number>
  /** Messages that a generator may have on their way when it hangs up: stored or not, nobody was told. */
  mostUntold?: number
}

/** Perform a job and see what it costs. */
export async function measure (job: Job, { database, generator, countsStatements }: BenchContext, { serverPid, stored, mostUntold = 0 }: Measured): Promise<Measurement> {
  const { sql, serverPid: postgresPid } = database
  let storedBefore: number | undefined
  let before: DatabaseSample = { wal: 0, transactions: 0, disk: 0 }
  let cpuBefore: (number | null)[] = []
  let cpuAfter: (number | null)[] = []
  let beganAtUs = 0
  let endedAtUs = 0
  const result = await generator.perform(job, {
    async before () {
      // So that none falls into the measurement, nor the full pages that are logged after one.
      await sql`checkpoint`
      storedBefore = await stored?.()
      before = await sampleDatabase(sql)
      if (countsStatements) await resetStatements(sql)
      cpuBefore = await sampleCpu(serverPid, postgresPid, generator.pid)
      beganAtUs = nowUs()
    },
    async after () {
      endedAtUs = nowUs()
      cpuAfter = await sampleCpu(serverPid, postgresPid, generator.pid)
    }
  })
  const serverRssBytes = serverPid === null ? null : await readTreeRss(serverPid)
  const postgresPssBytes = postgresPid === null ? null : await readTreePss(postgresPid)
  const statements = countsStatements ? await readStatements(sql) : null
  const after = await sampleDatabase(sql)
  const storedNow = await stored?.()
  if (storedNow !== undefined && storedBefore !== undefined) {
    const untold = storedNow - storedBefore - result.messages
    if (untold < 0 || untold > mostUntold) result.faults.push(`${result.messages} messages were answered as stored, ${storedNow - storedBefore} are`)
  }
  // Everything per message would be nonsense.
  if (result.messages === 0) result.faults.push('not a single message')
  const [serverCpuSeconds = null, postgresCpuSeconds = null, generatorCpuSeconds = null] = cpuAfter.map((now, i) => {
    const then = cpuBefore[i] ?? null
    return now === null || then === null ? null : now - then
  })
  return {
    ...result,
    wallSeconds: (endedAtUs - beganAtUs) / 1e6,
    serverCpuSeconds,
    postgresCpuSeconds,
    generatorCpuSeconds,
    serverRssBytes,
    postgresPssBytes,
    walBytes: after.wal - before.wal,
    commits: after.transactions - before.transactions,
    diskBytes: after.disk - before.disk,
    beganAtUs,
    endedAtUs,
    statements
  }
}

function nowUs (): number {
  return Number(process.hrtime.bigint() / 1000n)
}

async function sampleCpu (server: number | null, postgres: number | null, generator: number): Promise<(number | null)[]> {
  return await Promise.all([server, postgres, generator].map(async pid => pid === null ? null : await readTreeCpu(pid)))
}

interface DatabaseSample { wal: number, transactions: number, disk: number }

// Transaction ids count the commits that wrote something. pg_stat_database is up to 10 s late per connection.
async function sampleDatabase (sql: Sql): Promise<DatabaseSample> {
  const [row] = await sql<DatabaseSample[]>`
    select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as wal, pg_snapshot_xmax(pg_current_snapshot())::text::float8 as transactions,
      pg_database_size(current_database())::float8 as disk`
  if (row === undefined) throw new Error('no answer')
  return row
}
