// A real PgBouncer in front of the tests' PostgreSQL.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { NOBODY, isRoot, makeFolder } from '../fixtures/embedded-postgres.ts'
import { databaseUrl, until } from '../support.ts'

const PORT = 6432
// Where distributions put it is not in everybody's path.
const COMMAND = ['pgbouncer', '/usr/sbin/pgbouncer'].find(command => spawnSync(command, ['--version']).status === 0)

/** Why tests that need it are skipped; false: they run. */
export const isMissing = COMMAND === undefined ? 'PgBouncer is not installed' : false

export interface PgBouncer {
  /** The same database through the pooler. */
  through: (url: string) => string
  stop: () => Promise<void>
  start: () => Promise<void>
}

/** Starts it in transaction mode; stopped with the test. @param connections to PostgreSQL, per database */
export async function startPgBouncer (t: Test, connections: number): Promise<PgBouncer> {
  const folder = makeFolder(t)
  const target = new URL(databaseUrl())
  const host = target.searchParams.get('host') ?? target.hostname
  const user = decodeURIComponent(target.username) || 'postgres'
  // It does not serve as root; whoever owns the folder of the socket may use that.
  const account = isRoot ? accountFor(host) : null
  if (account !== null) chownSync(folder, account.uid, account.gid)
  const config = join(folder, 'pgbouncer.ini')
  const socket = join(folder, `.s.PGSQL.${PORT}`)
  const password = target.password === '' ? '' : ` password=${decodeURIComponent(target.password)}`
  writeFileSync(config, `
[databases]
* = host=${host} port=${target.searchParams.get('port') ?? (target.port || '5432')} user=${user}${password}
[pgbouncer]
listen_addr =
unix_socket_dir = ${folder}
listen_port = ${PORT}
auth_type = any
pool_mode = transaction
default_pool_size = ${connections}
max_client_conn = 200
server_login_retry = 1
`)
  let child: ReturnType<typeof spawn> | null = null
  const start = async (): Promise<void> => {
    const started = spawn(COMMAND ?? '', [config], { stdio: 'ignore', ...account })
    child = started
    await until(() => {
      if (started.exitCode !== null) throw new Error(`PgBouncer ended with ${started.exitCode}`)
      return existsSync(socket)
    }, 30_000)
  }
  const stop = async (): Promise<void> => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    // Its other signals wait for clients in some versions and not in others.
    child.kill('SIGKILL')
    await ended
    rmSync(socket)
  }
  t.teardown(stop)
  await start()
  return {
    start,
    stop,
    through: url => `postgres://${user}@localhost${new URL(url).pathname}?host=${encodeURIComponent(folder)}&port=${PORT}`
  }
}

function accountFor (host: string): { uid: number, gid: number } {
  const { uid, gid } = host.startsWith('/') ? statSync(host) : { uid: NOBODY, gid: NOBODY }
  return uid === 0 ? { uid: NOBODY, gid: NOBODY } : { uid, gid }
}
