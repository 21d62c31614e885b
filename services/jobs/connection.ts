import postgres from 'postgres'
import type { Row, Sql } from 'postgres'
import { poolSettings } from '../database/connection.ts'
import type { ConnectionOptions } from '../database/connection.ts'
import { faultOf } from '../database/faults.ts'
import type { Statement } from '../database/pool.ts'
import { wholeRows } from '../database/rows.ts'
import { RegentError } from '../errors.ts'
import type { Log } from '../queue/types.ts'

export interface JobConnectionOptions {
  connection: ConnectionOptions
  /** Milliseconds a statement may take. */
  callTimeoutMs: number
  /** Called when the connection ended while it held the lock. */
  onLost: () => void
  log: Log
}

const CONFLICT_TRIES = 5
// For idle connections to say goodbye to the server.
const GOODBYE_MS = 200
const CANCEL_TIMEOUT_MS = 1000

/** A connection, and its process on the server once that is known. */
interface Session { sql: Sql, pid: number | null, isBusy: boolean }

/**
 * The one connection of the background jobs, and the lock that goes with it: a session-level advisory lock, one per
 * schema, so that one instance among several runs the jobs. When its connection ends, for whatever reason, the server
 * gives the lock to whoever asks next. It goes past the pooler of `DB_POOLER_URL`. Should the direct address lead through one
 * in transaction mode all the same, no session holds the lock: several instances may then run the jobs at once, which
 * costs time and nothing else, as every step locks what it touches.
 */
export class JobConnection {
  readonly #options: JobConnectionOptions
  #refuse: (error: Error) => void = () => {}
  #session: Session | null = null
  #turn: Promise<unknown> = Promise.resolve()
  #hasLock = false
  #isClosed = false

  constructor (options: JobConnectionOptions) {
    this.#options = options
  }

  /** Whether this connection holds the lock, as far as it has heard. */
  get hasLock (): boolean {
    return this.#hasLock
  }

  /** Take the lock unless another instance has it. Throws as `call` does. */
  async lock (): Promise<boolean> {
    if (this.#hasLock) return true
    let usedBy: Sql | null = null
    const [row] = await this.call<{ got: boolean }>(sql => {
      usedBy = sql
      return sql`select pg_try_advisory_lock(hashtextextended(${`regent jobs ${this.#options.connection.schema}`}, 0)) as got`
    })
    this.#hasLock = row?.got === true && this.#session !== null && this.#session.sql === usedBy
    return this.#hasLock
  }

  /**
   * Run one statement after those before it.
   * @throws RegentError RGT_SHUTTING_DOWN, RGT_OUTCOME_UNKNOWN when it did not end in time; the driver's own error
   */
  async call<T extends Row> (statement: Statement<T>): Promise<T[]> {
    const turn = this.#turn.then(async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#run(statement)
        } catch (error) {
          if (faultOf(error) !== 'conflict' || attempt >= CONFLICT_TRIES) throw error
        }
      }
    })
    this.#turn = turn.catch(() => {})
    return await turn
  }

  /** Cancel what runs and end the connection, and with it the lock. Closing twice is harmless. */
  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#refuse(new RegentError('RGT_SHUTTING_DOWN'))
    const session = this.#session
    if (session === null) return
    if (session.isBusy) await this.#cancel(session)
    await session.sql.end({ timeout: GOODBYE_MS / 1000 })
  }

  async #run<T extends Row> (statement: Statement<T>): Promise<T[]> {
    if (this.#isClosed) throw new RegentError('RGT_SHUTTING_DOWN')
    const session = this.#session ??= this.#connect()
    const { sql } = session
    session.isBusy = true
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new RegentError('RGT_OUTCOME_UNKNOWN'))
        void this.#cancel(session)
        this.#drop(session)
      }, this.#options.callTimeoutMs)
    })
    const closing = new Promise<never>((_resolve, reject) => { this.#refuse = reject })
    const work = async (): Promise<T[]> => {
      if (session.pid === null) {
        const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
        session.pid = row?.pid ?? null
      }
      return wholeRows<T>(await statement(sql, sql(this.#options.connection.schema)))
    }
    try {
      // The driver may leave a query unsettled; what loses here has still been taken note of.
      return await Promise.race([work(), deadline, closing])
    } finally {
      clearTimeout(timer)
      session.isBusy = false
    }
  }

  #connect (): Session {
    const settings = poolSettings(this.#options.connection)
    const session: Session = {
      sql: postgres({
        ...settings,
        max: 1,
        // Left to itself the driver would connect again, without the lock and without saying so.
        onclose: () => { this.#drop(session) },
        connection: { ...settings.connection, application_name: this.#name }
      }),
      pid: null,
      isBusy: false
    }
    return session
  }

  get #name (): string {
    return `${this.#options.connection.applicationName} jobs`
  }

  /**
   * End what the server does for a connection that is given up. It would not notice while it waits for a lock, and hold
   * ours until its own timeout. Over a connection of its own: a failure of the driver's cancel() could not be caught.
   */
  async #cancel ({ pid }: Session): Promise<void> {
    const sql = postgres({ ...poolSettings(this.#options.connection), max: 1, connect_timeout: CANCEL_TIMEOUT_MS / 1000 })
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>(resolve => { timer = setTimeout(resolve, CANCEL_TIMEOUT_MS) })
    const cancelled = sql`select pg_cancel_backend(pid) from pg_stat_activity where pid = ${pid} and application_name = ${this.#name}`
    try {
      await Promise.race([cancelled, timeout])
    } catch (error) {
      this.#options.log.debug({ err: error }, 'cancelling a statement of the background jobs failed')
    } finally {
      clearTimeout(timer)
      await sql.end({ timeout: 0 })
    }
  }

  #drop (session: Session): void {
    if (this.#session !== session || this.#isClosed) return
    this.#session = null
    const hadLock = this.#hasLock
    this.#hasLock = false
    session.sql.end({ timeout: 0 }).catch((error: unknown) => {
      this.#options.log.debug({ err: error }, 'closing a lost connection failed')
    })
    if (hadLock) this.#options.onLost()
  }
}
