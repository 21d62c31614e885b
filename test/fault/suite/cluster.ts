import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import type { Test } from 'tap'
import type { EmbeddedPostgres } from '../../../services/embedded-postgres/start.ts'
import { makeFolder, serverPid, start } from '../../fixtures/embedded-postgres.ts'
import { until } from '../../support.ts'

const LONGEST_MS = 60_000

/** A PostgreSQL of the suite's own, with fsync on, to be hurt. It comes back on the same data and address. */
export class Cluster {
  readonly #t: Test
  readonly #dataDir: string
  #server: EmbeddedPostgres
  #isDown = false
  readonly #queued: Socket[] = []
  /** Connections that hold something. */
  readonly #holders = new Set<postgres.Sql>()

  private constructor (t: Test, dataDir: string, server: EmbeddedPostgres) {
    this.#t = t
    this.#dataDir = dataDir
    this.#server = server
  }

  static async start (t: Test): Promise<Cluster> {
    const dataDir = makeFolder(t)
    return new Cluster(t, dataDir, await start(t, dataDir, SETTINGS))
  }

  url (database: string): string {
    const { user, socketDir, port } = this.#server
    return `postgres://${user}@localhost/${database}?host=${encodeURIComponent(socketDir)}&port=${port}`
  }

  async createDatabase (): Promise<string> {
    const database = `fault_${randomBytes(4).toString('hex')}`
    await this.run('postgres', `create database ${database}`)
    return database
  }

  /** Runs a statement on a connection of its own that may write, whatever the server's default. */
  async run (database: string, text: string): Promise<postgres.RowList<postgres.Row[]>> {
    const sql = this.#connect(database)
    try {
      return await sql.unsafe(text)
    } finally {
      await sql.end({ timeout: 1 })
    }
  }

  /** The server and all of its processes die at once. */
  async kill (): Promise<void> {
    this.freeze()
    for (const pid of this.#pids()) kill(pid, 'SIGKILL')
    await this.#server.exited
    this.#isDown = true
  }

  /** Fast shutdown: what runs is broken off. */
  async stop (): Promise<void> {
    await this.#server.stop()
    this.#isDown = true
  }

  /** On the same data; recovers what is to be recovered first. */
  async start (): Promise<void> {
    this.#server = await start(this.#t, this.#dataDir, SETTINGS)
    this.#isDown = false
  }

  /** It stands still; connections to it stay, and new ones are taken by the kernel and not answered. */
  freeze (): void {
    // First, so that no process is born meanwhile.
    kill(serverPid(this.#dataDir), 'SIGSTOP')
    for (const pid of this.#pids()) kill(pid, 'SIGSTOP')
  }

  thaw (): void {
    for (const socket of this.#queued.splice(0)) socket.destroy()
    for (const pid of this.#pids()) kill(pid, 'SIGCONT')
  }

  /**
   * Sessions end, and there are no new ones: the postmaster alone stands still, and the kernel's queue of connections that
   * wait for it is full. Until thawed.
   */
  async jam (database: string): Promise<void> {
    const admin = this.#connect(database)
    await admin`select 1`
    kill(serverPid(this.#dataDir), 'SIGSTOP')
    while (await this.#queueOne()) { /* and the next */ }
    await admin.unsafe(TERMINATE)
    await admin.end({ timeout: 1 })
  }

  async #queueOne (): Promise<boolean> {
    const { socketDir, port } = this.#server
    const socket = connect({ path: `${socketDir}/.s.PGSQL.${port}` })
    socket.on('error', () => {})
    this.#queued.push(socket)
    return await once(socket, 'connect').then(() => true, () => false)
  }

  /** As a standby is: every transaction that would write fails with 25006. */
  async setReadOnly (isReadOnly: boolean): Promise<void> {
    await this.run('postgres', `alter system ${isReadOnly ? 'set default_transaction_read_only = on' : 'reset default_transaction_read_only'}`)
    await this.run('postgres', 'select pg_reload_conf()')
  }

  /** Commits are durable and not answered: they wait for a standby that does not come. */
  async withholdAnswers (isOn: boolean): Promise<void> {
    await this.run('postgres', `alter system ${isOn ? 'set synchronous_standby_names = nobody' : 'reset synchronous_standby_names'}`)
    await this.run('postgres', 'select pg_reload_conf()')
  }

  /** Locks a table from outside until released. */
  async lock (database: string, table: string, mode: 'share' | 'exclusive'): Promise<() => Promise<void>> {
    const sql = this.#connect(database)
    this.#holders.add(sql)
    const own = await sql.reserve()
    await own.unsafe(`begin; lock table ${table} in ${mode} mode`)
    return async () => { await this.#letGo([sql]) }
  }

  /** How many sessions of the service are carrying out a statement with this in its text; `isBlocked`: and wait for a lock. */
  async busy (database: string, text: string, isBlocked = false): Promise<number> {
    // One that has been prepared and not been sent counts as active, and waits for its client.
    const rows = await this.run(database, `select from pg_stat_activity where ${OF_THE_SERVICE} and state = 'active' and wait_event is distinct from 'ClientRead'
      and query like '%${text}%' ${isBlocked ? 'and wait_event_type = \'Lock\'' : ''}`)
    return rows.length
  }

  /** Ends the service's sessions with what they are doing. */
  async endSessions (database: string): Promise<void> {
    await this.run(database, TERMINATE)
  }

  /** Ends the service's sessions, again and again. Returns how many. */
  async storm (database: string, durationMs: number, pauseMs: number): Promise<number> {
    const sql = this.#connect(database)
    let ended = 0
    try {
      const endAt = performance.now() + durationMs
      while (performance.now() < endAt) {
        ended += (await sql.unsafe(TERMINATE)).length
        await delay(pauseMs)
      }
    } finally {
      await sql.end({ timeout: 1 })
    }
    return ended
  }

  /** Takes every connection there is, those of the service too, until released. */
  async occupy (database: string): Promise<() => Promise<void>> {
    const held: postgres.Sql[] = []
    const admin = this.#connect(database)
    await admin`select 1`
    held.push(admin)
    this.#holders.add(admin)
    await until(async () => {
      await admin.unsafe(TERMINATE)
      while (await this.#holdOne(held)) { /* and the next */ }
      const [row] = await admin.unsafe<{ n: number }[]>(`select count(*)::int as n from pg_stat_activity where ${OF_THE_SERVICE}`)
      return row?.n === 0
    }, LONGEST_MS)
    return async () => { await this.#letGo(held) }
  }

  /** Ends every fault that a scenario has left behind. */
  async heal (): Promise<void> {
    if (this.#isDown) await this.start()
    this.thaw()
    await this.#letGo([...this.#holders])
    await this.run('postgres', 'alter system reset all')
    await this.run('postgres', 'select pg_reload_conf()')
  }

  async #letGo (holders: readonly postgres.Sql[]): Promise<void> {
    await Promise.all(holders.map(async sql => {
      this.#holders.delete(sql)
      await sql.end({ timeout: 0 })
    }))
  }

  async #holdOne (held: postgres.Sql[]): Promise<boolean> {
    const sql = this.#connect('postgres')
    try {
      await sql`select 1`
      held.push(sql)
      this.#holders.add(sql)
      return true
    } catch (error) {
      await sql.end({ timeout: 1 })
      if ((error as { code?: string }).code === '53300') return false
      throw error
    }
  }

  #connect (database: string): postgres.Sql {
    const { user, socketDir: host, port } = this.#server
    return postgres({ host, port, user, database, max: 1, onnotice () {}, connection: { options: '-c default_transaction_read_only=off' } })
  }

  /** The postmaster and its processes. */
  #pids (): number[] {
    const parent = serverPid(this.#dataDir)
    const children = execFileSync('ps', ['--no-headers', '-o', 'pid', '--ppid', String(parent)], { encoding: 'utf8' })
    return [parent, ...children.trim().split(/\s+/).map(Number)]
  }
}

// Few connections, so that they can all be taken.
const SETTINGS = { max_connections: '60', fsync: 'on', synchronous_commit: 'on' }
const OF_THE_SERVICE = 'datname = current_database() and application_name like \'regent %\''
const TERMINATE = `select pg_terminate_backend(pid) from pg_stat_activity where ${OF_THE_SERVICE}`

function kill (pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}
