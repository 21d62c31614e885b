import postgres from 'postgres'
import type { PendingQuery, Row, Sql } from 'postgres'
import { RegentError } from '../errors.ts'
import { faultOf } from './faults.ts'
import { poolSettings } from './connection.ts'
import type { ConnectionOptions } from './connection.ts'

export interface PoolOptions extends ConnectionOptions {
  /** Connections at the most; also how many calls run at once. */
  poolSize: number
  /** Milliseconds a call may take, waiting for a connection included. */
  callTimeoutMs: number
  log: { warn (fields: object, message: string): void, info (fields: object, message: string): void }
}

/** Builds one statement. `sql` is the driver's tag; `schema` the quoted schema to qualify names with. */
export type Statement<T extends Row> = (sql: Sql, schema: ReturnType<typeof identifier>) => PendingQuery<T[]>

const CONFLICT_TRIES = 8
// Waiters beyond this are shed at once: they would only time out later.
const MOST_WAITING = 10_000

/**
 * The guarded pool. The driver has no deadline for a query nor for a connection, and can leave a query unsettled when
 * backends are killed. So every call has a deadline here, runs alone on its connection (no pipelining behind a slow
 * one), and a pool that stops answering is replaced whole. One statement per call, never a client-side transaction.
 */
export class Pool {
  readonly schema: string
  readonly #options: PoolOptions
  readonly #waiting: (() => void)[] = []
  #sql: Sql
  #running = 0
  #isClosed = false

  constructor (options: PoolOptions) {
    this.#options = options
    this.schema = options.schema
    this.#sql = this.#connect()
  }

  /** Calls running and calls waiting for a connection. */
  get load (): { running: number, waiting: number, size: number } {
    return { running: this.#running, waiting: this.#waiting.length, size: this.#options.poolSize }
  }

  /**
   * Run one statement and return its rows.
   * @param timeoutMs deadline for this call, the pool's `callTimeoutMs` unless given
   * @throws RegentError RGT_DATABASE_AWAY, RGT_DATABASE_SLOW (nothing was changed), RGT_OUTCOME_UNKNOWN,
   *   RGT_SHUTTING_DOWN; the driver's own error when the database refused the statement
   */
  async call<T extends Row> (statement: Statement<T>, timeoutMs = this.#options.callTimeoutMs): Promise<T[]> {
    const deadline = performance.now() + timeoutMs
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#callOnce(statement, deadline - performance.now())
      } catch (error) {
        if (error instanceof RegentError) throw error
        const fault = faultOf(error)
        if (fault === 'conflict' && attempt < CONFLICT_TRIES && performance.now() < deadline) continue
        if (fault === 'away') throw new RegentError('RGT_DATABASE_AWAY', { cause: error })
        if (fault === 'unknown') throw new RegentError(this.#isClosed ? 'RGT_SHUTTING_DOWN' : 'RGT_OUTCOME_UNKNOWN', { cause: error })
        if (fault === 'slow' || fault === 'conflict') throw new RegentError('RGT_DATABASE_SLOW', { cause: error })
        throw error
      }
    }
  }

  /** Wait for running calls (at most `timeoutMs`), then close every connection. Closing twice is harmless. */
  async close (timeoutMs = 5000): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const wake of this.#waiting.splice(0)) wake()
    await this.#sql.end({ timeout: timeoutMs / 1000 })
  }

  async #callOnce<T extends Row> (statement: Statement<T>, timeoutMs: number): Promise<T[]> {
    const startedAt = performance.now()
    await this.#acquire(timeoutMs)
    try {
      return await this.#run(statement, timeoutMs - (performance.now() - startedAt))
    } finally {
      this.#running--
      this.#waiting.shift()?.()
    }
  }

  async #acquire (timeoutMs: number): Promise<void> {
    if (this.#isClosed) throw new RegentError('RGT_SHUTTING_DOWN')
    if (this.#running >= this.#options.poolSize) {
      if (this.#waiting.length >= MOST_WAITING) throw new RegentError('RGT_OVERLOADED')
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          this.#waiting.splice(this.#waiting.indexOf(wake), 1)
          reject(new RegentError('RGT_DATABASE_SLOW'))
        }, timeoutMs)
        const wake = (): void => {
          clearTimeout(timer)
          resolve()
        }
        this.#waiting.push(wake)
      })
      if (this.#isClosed) throw new RegentError('RGT_SHUTTING_DOWN')
    }
    this.#running++
  }

  async #run<T extends Row> (statement: Statement<T>, timeoutMs: number): Promise<T[]> {
    const sql = this.#sql
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new RegentError('RGT_OUTCOME_UNKNOWN'))
        this.#replace(sql)
      }, Math.max(timeoutMs, 0))
    })
    try {
      return await Promise.race([statement(sql, identifier(sql, this.schema)), deadline])
    } finally {
      clearTimeout(timer)
    }
  }

  /** A server that were alive would have cancelled the statement before the deadline: nothing on this pool is to be trusted. */
  #replace (stuck: Sql): void {
    if (this.#sql !== stuck || this.#isClosed) return
    this.#options.log.warn({ poolSize: this.#options.poolSize }, 'database pool stopped answering and is replaced')
    this.#sql = this.#connect()
    // Its remaining calls are rejected as CONNECTION_DESTROYED, so their outcome is reported as unknown.
    stuck.end({ timeout: 0 }).catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'closing the replaced database pool failed')
    })
  }

  #connect (): Sql {
    return postgres({ ...poolSettings(this.#options), max: this.#options.poolSize })
  }
}

/** A name as the driver quotes it into a statement. */
function identifier (sql: Sql, name: string) {
  return sql(name)
}
