import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Sql } from 'postgres'
import { startEmbeddedPostgres } from '../../services/embedded-postgres/start.ts'
import type { EmbeddedPostgres } from '../../services/embedded-postgres/start.ts'
import { connectTo } from './connect.ts'
import { readProcess } from './proc.ts'

/** What statements are counted: none, those that clients send, or also those inside functions. */
export type Tracking = 'none' | 'top' | 'all'

export interface BenchDatabase {
  url: string
  sql: Sql
  /** The postmaster when it runs on this machine. */
  serverPid: number | null
  drop (): Promise<void>
}

export interface BenchCluster {
  isEmbedded: boolean
  version: string
  settings: Record<string, string>
  /** Is pg_stat_statements loaded? */
  hasStatements: boolean
  /** An empty database of its own for one measurement. */
  createDatabase (): Promise<BenchDatabase>
  /** On a server that is not ours nothing is changed: it counts what it is set to count. */
  track (tracking: Tracking): Promise<void>
  close (): Promise<void>
}

const SHOWN = ['shared_buffers', 'max_wal_size', 'wal_compression', 'default_toast_compression', 'fsync', 'synchronous_commit',
  'full_page_writes', 'max_connections', 'autovacuum_naptime', 'checkpoint_completion_target', 'io_method', 'shared_preload_libraries', 'track_io_timing']

/** The PostgreSQL at the given address, or an embedded one that lives in a temporary folder as long as this. */
export async function openCluster (serverUrl: string | undefined, { timesInput }: { timesInput: boolean }): Promise<BenchCluster> {
  const undo: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
      await step().catch((error: unknown) => { console.error('cleaning up failed:', error) })
    }
  }
  try {
    const embedded = serverUrl === undefined ? await startEmbedded(undo, timesInput) : null
    const base = serverUrl ?? `postgres://postgres@localhost/postgres?host=${encodeURIComponent(embedded?.socketDir ?? '')}&port=${embedded?.port ?? 5432}`
    const admin = connectTo(base, 1)
    undo.push(async () => { await admin.end({ timeout: 5 }) })
    const described = await describe(admin)
    const hasStatements = described.settings.shared_preload_libraries?.includes('pg_stat_statements') === true
    const track = async (tracking: Tracking): Promise<void> => {
      if (embedded === null || !hasStatements) return
      await admin.unsafe(`alter system set pg_stat_statements.track = '${tracking}'`)
      await admin`select pg_reload_conf()`
      while ((await admin`show pg_stat_statements.track`)[0]?.['pg_stat_statements.track'] !== tracking) await new Promise(resolve => setTimeout(resolve, 10))
    }
    // It is loaded from the start, and costs nothing until it is asked to count.
    await track('none')
    return { isEmbedded: embedded !== null, ...described, hasStatements, createDatabase: async () => await createDatabase(admin, base, hasStatements), track, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startEmbedded (undo: (() => Promise<unknown>)[], timesInput: boolean): Promise<EmbeddedPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'regent-bench-'))
  undo.push(async () => { await rm(dataDir, { recursive: true, force: true }) })
  const log = { info () {}, warn: console.error, error: console.error }
  const settings = { shared_preload_libraries: 'pg_stat_statements', ...(timesInput ? { track_io_timing: 'on' } : {}) }
  const embedded = await startEmbeddedPostgres({ dataDir, log, settings })
  undo.push(async () => { await embedded.stop() })
  return embedded
}

async function createDatabase (admin: Sql, base: string, hasStatements: boolean): Promise<BenchDatabase> {
  const name = `regent_bench_${randomBytes(4).toString('hex')}`
  await admin.unsafe(`create database ${name}`)
  const url = new URL(base)
  url.pathname = `/${name}`
  const sql = connectTo(url.href, 2)
  const drop = async (): Promise<void> => {
    await sql.end({ timeout: 5 })
    await admin.unsafe(`drop database if exists ${name} with (force)`)
  }
  try {
    if (hasStatements) await sql`create extension pg_stat_statements`
    return { url: url.href, sql, serverPid: await findPostmaster(sql), drop }
  } catch (error) {
    await drop()
    throw error
  }
}

/** The parent of our own backend, if that backend is a process that can be seen from here. */
async function findPostmaster (sql: Sql): Promise<number | null> {
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
  const backend = row === undefined ? null : await readProcess(row.pid)
  return backend?.name.startsWith('postgres') === true ? backend.parent : null
}

async function describe (sql: Sql): Promise<{ version: string, settings: Record<string, string> }> {
  const [row] = await sql<{ server_version: string }[]>`show server_version`
  const settings = await sql<{ name: string, value: string }[]>`
    select name, current_setting(name) as value from pg_settings where name in ${sql(SHOWN)} order by name`
  return { version: row?.server_version ?? 'unknown', settings: Object.fromEntries(settings.map(({ name, value }) => [name, value])) }
}
