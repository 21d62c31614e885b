import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Sql } from 'postgres'
import { startEmbeddedPostgres } from '../../services/embedded-postgres/start.ts'
import type { EmbeddedPostgres } from '../../services/embedded-postgres/start.ts'
import { connectTo } from './connect.ts'
import { readProcess } from './proc.ts'

export interface BenchDatabase {
  /** Connection string of the database made for this run. */
  url: string
  sql: Sql
  isEmbedded: boolean
  /** The postmaster when it runs on this machine. */
  pid: number | null
  version: string
  settings: Record<string, string>
  close (): Promise<void>
}

const SHOWN = ['shared_buffers', 'max_wal_size', 'wal_compression', 'default_toast_compression', 'fsync', 'synchronous_commit',
  'full_page_writes', 'max_connections', 'autovacuum_naptime', 'checkpoint_completion_target', 'io_method']

/** A database of its own on the given server, or on an embedded one that lives in a temporary folder as long as this. */
export async function openDatabase (serverUrl: string | undefined): Promise<BenchDatabase> {
  const undo: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
      await step().catch((error: unknown) => { console.error('cleaning up failed:', error) })
    }
  }
  try {
    const embedded = serverUrl === undefined ? await startEmbedded(undo) : null
    const base = serverUrl ?? `postgres://postgres@localhost/postgres?host=${encodeURIComponent(embedded?.socketDir ?? '')}&port=${embedded?.port ?? 5432}`
    const admin = connectTo(base, 1)
    undo.push(async () => { await admin.end({ timeout: 5 }) })
    const name = `regent_bench_${randomBytes(4).toString('hex')}`
    await admin.unsafe(`create database ${name}`)
    undo.push(async () => { await admin.unsafe(`drop database if exists ${name} with (force)`) })
    const url = new URL(base)
    url.pathname = `/${name}`
    const sql = connectTo(url.href, 2)
    undo.push(async () => { await sql.end({ timeout: 5 }) })
    return { url: url.href, sql, isEmbedded: embedded !== null, pid: await findPostmaster(sql), ...await describe(sql), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startEmbedded (undo: (() => Promise<unknown>)[]): Promise<EmbeddedPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'regent-bench-'))
  undo.push(async () => { await rm(dataDir, { recursive: true, force: true }) })
  const log = { info () {}, warn: console.error, error: console.error }
  const embedded = await startEmbeddedPostgres({ dataDir, log })
  undo.push(async () => { await embedded.stop() })
  return embedded
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
