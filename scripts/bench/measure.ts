import type { Sql } from 'postgres'
import { readRss, readTreeCpu, readTreePss } from './proc.ts'
import type { BenchDatabase } from './database.ts'
import type { Generator } from './child.ts'
import type { Job, LoadResult } from './jobs.ts'

/** CPU as a percentage of one core; null where it cannot be seen, or has no such process. */
export interface Usage {
  serverCpu: number | null
  postgresCpu: number | null
  generatorCpu: number | null
  serverRssBytes: number | null
  postgresPssBytes: number | null
  walBytesPerMessage: number
  commitsPerMessage: number
}

export type Measurement = LoadResult & Usage

export interface Measured {
  database: BenchDatabase
  serverPid: number | null
  generator: Generator
  /** Messages stored so far, where the load's own count ends before its last requests are done. */
  stored?: () => Promise<number>
}

/** Perform a job and see what it costs. */
export async function measure (job: Job, { database, serverPid, generator, stored }: Measured): Promise<Measurement> {
  const storedBefore = await stored?.()
  const before = await sampleDatabase(database.sql)
  const cpuBefore = await sampleCpu(database.pid, serverPid, generator.pid)
  const startedAt = performance.now()
  const result = await generator.perform(job)
  const seconds = (performance.now() - startedAt) / 1000
  const cpuAfter = await sampleCpu(database.pid, serverPid, generator.pid)
  const serverRssBytes = serverPid === null ? null : await readRss(serverPid)
  const postgresPssBytes = database.pid === null ? null : await readTreePss(database.pid)

  const storedAfter = stored === undefined ? undefined : await settled(stored)
  const after = await sampleDatabase(database.sql)
  const messages = storedAfter === undefined || storedBefore === undefined ? result.messages : storedAfter - storedBefore
  if (messages < result.messages) result.faults.push(`${result.messages} messages were answered as stored, ${messages} are`)
  const [serverCpu = null, postgresCpu = null, generatorCpu = null] = cpuAfter.map((now, i) => {
    const then = cpuBefore[i] ?? null
    return now === null || then === null ? null : (now - then) / seconds * 100
  })
  return {
    ...result,
    serverCpu,
    postgresCpu,
    generatorCpu,
    serverRssBytes,
    postgresPssBytes,
    walBytesPerMessage: (after.wal - before.wal) / messages,
    commitsPerMessage: (after.transactions - before.transactions) / messages
  }
}

async function sampleCpu (postgres: number | null, server: number | null, generator: number): Promise<(number | null)[]> {
  return await Promise.all([server, postgres, generator].map(async pid => pid === null ? null : await readTreeCpu(pid)))
}

// Transaction ids count the commits that wrote something. pg_stat_database is up to 10 s late per connection.
async function sampleDatabase (sql: Sql): Promise<{ wal: number, transactions: number }> {
  const [row] = await sql<{ wal: string, transactions: string }[]>`
    select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as wal, pg_snapshot_xmax(pg_current_snapshot())::text as transactions`
  return { wal: Number(row?.wal), transactions: Number(row?.transactions) }
}

// Requests whose connection is gone are still carried out.
async function settled (stored: () => Promise<number>): Promise<number> {
  let before = await stored()
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, 100))
    const now = await stored()
    if (now === before) return now
    before = now
  }
}
