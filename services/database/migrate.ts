import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { RegentError } from '../errors.ts'
import { poolSettings } from './connection.ts'
import type { ConnectionOptions } from './connection.ts'
import { codeOf } from './faults.ts'

// Multiranges and string_to_table came with 14.
const OLDEST_SERVER = 140000
// One lock for all Regent schemas of a database: migrations are rare and short. The number is "regent" in ASCII.
const LOCK_KEY = 0x726567656e74
// Waiting for another instance that migrates, and for table locks of a live one.
const LOCK_TIMEOUT_MS = 60_000
// None, as far as the server can count: the driver drops 0, and the role's own timeout would hold.
const LONGEST_TIMEOUT_MS = 2_147_483_647

export interface Migration { name: string, checksum: string, text: string }

/** The numbered migrations, and the replaceable functions as one last step, in order of application. */
export async function loadMigrations (): Promise<{ migrations: Migration[], functions: Migration }> {
  const migrations = await readFolder('migrations')
  const functions = (await readFolder('functions')).map(file => file.text).join('\n')
  return { migrations, functions: { name: 'functions', checksum: checksumOf(functions), text: functions } }
}

/**
 * Bring the schema up to date. Any number of instances may do this at once, on an empty database too: each step is one
 * transaction under an advisory lock and does nothing when somebody else has already done it.
 * @returns names of the steps this call applied
 * @throws RegentError RGT_DATABASE_UNSUITABLE when the server cannot carry the service; the driver's error otherwise
 */
export async function migrate (connection: ConnectionOptions): Promise<string[]> {
  const settings = poolSettings(connection)
  const sql = postgres({
    ...settings,
    max: 1,
    connection: { ...settings.connection, lock_timeout: LOCK_TIMEOUT_MS, statement_timeout: LONGEST_TIMEOUT_MS, client_min_messages: 'warning' }
  })
  try {
    const [server] = await sql<{ version: number, encoding: string }[]>`
      select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding`
    if (server === undefined || server.version < OLDEST_SERVER) {
      throw new RegentError('RGT_DATABASE_UNSUITABLE', { detail: 'PostgreSQL 14 or newer is needed' })
    }
    if (server.encoding !== 'UTF8') {
      throw new RegentError('RGT_DATABASE_UNSUITABLE', { detail: `the database must be encoded in UTF8, not ${server.encoding}` })
    }
    const { migrations, functions } = await loadMigrations()
    const schema = quoteIdentifier(connection.schema)
    // Even "if not exists" needs the right to create schemas, which a role that owns just this one lacks.
    const isThere = (await sql`select from pg_namespace where nspname = ${connection.schema}`).length > 0
    await sql.unsafe(locked(`
      ${isThere ? '' : `create schema if not exists ${schema};`}
      create table if not exists ${schema}.migrations (
        name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp());`))
    const applied: string[] = []
    for (const step of migrations) {
      if (await apply(sql, schema, step)) applied.push(step.name)
    }
    if (await apply(sql, schema, functions, migrations.at(-1)?.name)) applied.push(functions.name)
    return applied
  } catch (error) {
    // With the code of a lost connection, though waiting would not help.
    if (codeOf(error) !== '08P01' || !(error as Error).message.startsWith('unsupported startup parameter')) throw error
    throw new RegentError('RGT_DATABASE_UNSUITABLE', {
      detail: `The database is reached through a pooler that refuses the settings of a session (${(error as Error).message}): ` +
        'DATABASE_URL has to lead to PostgreSQL itself, the pooler goes into DB_POOLER_URL',
      cause: error
    })
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/**
 * Applies one step unless it is there. A migration is immutable: a changed checksum is an error. Functions are replaced,
 * but not those that a later version has left: they serve the version before it too, so that an upgrade can be rolled out
 * instance by instance, and an old one may start again meanwhile.
 * @param newest of what is replaceable, the last migration this version knows; a database that has a later one keeps what it has
 */
async function apply (sql: postgres.Sql, schema: string, step: Migration, newest?: string): Promise<boolean> {
  const isDone = `exists (select from ${schema}.migrations where name = '${step.name}' and checksum = '${step.checksum}'
    ${newest === undefined ? '' : `or name <> '${step.name}' and name collate "C" > '${newest}'`})`
  const [known] = await sql.unsafe<{ checksum: string | null, done: boolean }[]>(
    `select (select checksum from ${schema}.migrations where name = $1) as checksum, ${isDone} as done`, [step.name])
  if (known?.done === true) return false
  if (typeof known?.checksum === 'string' && newest === undefined) {
    throw new RegentError('RGT_DATABASE_UNSUITABLE', { detail: `migration ${step.name} differs from the one applied to this database` })
  }
  // Decided again under the lock, by the server: another instance may have been quicker. One string, one transaction:
  // no client-side transaction is ever open.
  const text = step.text.replaceAll('regent.', `${schema}.`)
  const results = await sql.unsafe(locked(`
    do $regent_step$ begin
      if ${isDone} then
        return;
      end if;
      execute $regent_text$${text}$regent_text$;
      insert into ${schema}.migrations (name, checksum) values ('${step.name}', '${step.checksum}')
        on conflict (name) do update set checksum = excluded.checksum, applied_at = clock_timestamp();
    end $regent_step$;`))
  return results !== undefined
}

function locked (text: string): string {
  return `select pg_advisory_xact_lock(${LOCK_KEY}); ${text}`
}

/** Quotes an identifier, the only place where a name becomes SQL text: it comes from the operator's options. */
export function quoteIdentifier (name: string): string {
  return '"' + name.replaceAll('"', '""') + '"'
}

async function readFolder (name: string): Promise<Migration[]> {
  const folder = new URL(`./${name}/`, import.meta.url)
  const files = (await readdir(folder)).filter(file => file.endsWith('.sql')).sort()
  return await Promise.all(files.map(async file => {
    const text = await readFile(new URL(file, folder), 'utf8')
    return { name: file.replace(/\.sql$/, ''), checksum: checksumOf(text), text }
  }))
}

function checksumOf (text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
