import postgres from 'postgres'
import type { PendingQuery, Row, Sql } from 'postgres'
import { RegentError } from '../errors.ts'
import { Histogram, SECONDS } from '../metrics/histogram.ts'
import { codeOf, faultOf } from './faults.ts'
import { poolSettings } from './connection.ts'
import { wholeRows } from './rows.ts'
import type { ConnectionOptions } from './connection.ts'

export interface PoolOptions extends ConnectionOptions {
  /** Connections at the most; also how many calls run at once. */
  poolSize: number
  /** Milliseconds a call may take, waiting for a connection included. */
  callTimeoutMs: number
  /** Makes spans of calls; null: nobody looks at them. */
  tracer?: CallTracer | null
  log: { warn (fields: object, message: string): void, info (fields: object, message: string): void }
}

/** Builds one statement. `sql` is the driver's tag; `schema` the quoted schema to qualify names with. */
export type Statement<T extends Row> = (sql: Sql, schema: ReturnType<typeof identifier>) => PendingQuery<T[]>

/** Runs one statement: the pool, or a connection of its own that a job has. */
export interface Caller {
  call: <T extends Row> (statement: Statement<T>) => Promise<T[]>
}

/** Takes note of a call: of how it goes, and of the statement it is made with. */
export interface CallTracer {
  trace: <T extends Row>(statement: Statement<T>, call: (statement: Statement<T>) => Promise<T[]>) => Promise<T[]>
}

/** What a call is made for; the lanes' own calls are told apart from all others. */
export type CallKind = 'push' | 'pop' | 'ack' | 'transaction' | 'other'

const CONFLICT_TRIES = 8
// SQLSTATEs that our functions raise begin with this; codes of RegentError with RGT.
const OWN_CODES = 'RG0'
// Waiters beyond this are shed at once: they would only time out later.
const MOST_WAITING = 10_000
// A call that waited less than this for its connection may use the whole time a statement can take.
const AT_ONCE_MS = 50
// For idle connections to say goodbye to the server.
const GOODBYE_MS = 200

/**
 * The guarded pool. The driver has no deadline for a query nor for a connection, and can leave a query unsettled when
 * backends are killed. So every call has a deadline here, runs alone on its connection (no pipelining behind a slow
 * one), and a pool that stops answering is replaced whole. One statement per call, never a client-side transaction.
 */
export class Pool {
  readonly schema: string
  /** How long calls took, in seconds: with their wait for a connection, repeats after conflicts, and those that failed. */
  readonly times: Readonly<Record<CallKind, Histogram>> = {
    push: new Histogram(SECONDS),
    pop: new Histogram(SECONDS),
    ack: new Histogram(SECONDS),
    transaction: new Histogram(SECONDS),
    other: new Histogram(SECONDS)
  }

  readonly #options: PoolOptions
  readonly #waiting: (() => void)[] = []
  #sql: Sql
  #running = 0
  #failures = 0
  #isClosed = false
  #isHeld = false
  #onIdle: (() => void) | null = null

  constructor (options: PoolOptions) {
    this.#options = options
    this.schema = options.schema
    this.#sql = this.#connect()
  }

  /** Calls running and calls waiting for a connection. */
  get load (): { running: number, waiting: number, size: number } {
    return { running: this.#running, waiting: this.#waiting.length, size: this.#options.poolSize }
  }

  /** Calls so far that failed, for whatever reason but that one of our own functions refused what was asked for. */
  get failures (): number {
    return this.#failures
  }

  /** Refuse calls as if the database were away: its schema is not there yet. */
  hold (): void {
    this.#isHeld = true
  }

  /** Take calls from now on. */
  letGo (): void {
    this.#isHeld = false
  }

  /**
   * Run one statement and return its rows.
   * @param timeoutMs deadline for this call, the pool's `callTimeoutMs` unless given
   * @param kind under which its time is counted
   * @throws RegentError RGT_DATABASE_AWAY, RGT_DATABASE_BUSY, RGT_DATABASE_SLOW (nothing was changed), RGT_OUTCOME_UNKNOWN,
   *   RGT_SHUTTING_DOWN; the driver's own error when the database refused the statement
   */
  async call<T extends Row> (statement: Statement<T>, timeoutMs = this.#options.callTimeoutMs, kind: CallKind = 'other'): Promise<T[]> {
    if (this.#isHeld) throw new RegentError('RGT_DATABASE_AWAY')
    const { tracer } = this.#options
    const startedAt = performance.now()
    try {
      if (tracer != null) return await tracer.trace(statement, async observed => await this.#callRepeating(observed, timeoutMs))
      return await this.#callRepeating(statement, timeoutMs)
    } catch (error) {
      if (!this.#isClosed && !codeOf(error).startsWith(OWN_CODES)) this.#failures++
      throw error
    } finally {
      this.times[kind].observe((performance.now() - startedAt) / 1000)
    }
  }

  async #callRepeating<T extends Row> (statement: Statement<T>, timeoutMs: number): Promise<T[]> {
    const deadline = performance.now() + timeoutMs
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#callOnce(statement, deadline - performance.now())
      } catch (error) {
        if (error instanceof RegentError) throw error
        const fault = faultOf(error)
        if (fault === 'conflict' && attempt < CONFLICT_TRIES && performance.now() < deadline) continue
        if (fault === 'away' || fault === 'denied') throw new RegentError('RGT_DATABASE_AWAY', { cause: error })
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
    if (this.#running > 0) {
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>(resolve => {
        this.#onIdle = resolve
        timer = setTimeout(resolve, timeoutMs)
      })
      clearTimeout(timer)
    }
    // The driver would wait for ever for a connection that was lost under a query, also long after.
    await this.#sql.end({ timeout: GOODBYE_MS / 1000 })
  }

  async #callOnce<T extends Row> (statement: Statement<T>, timeoutMs: number): Promise<T[]> {
    const startedAt = performance.now()
    await this.#acquire(timeoutMs)
    const runMs = Math.max(timeoutMs, this.#options.callTimeoutMs)
    // The connection stays taken until the statement is over, also when its caller waits no longer.
    const work = this.#run(statement, runMs).finally(() => { this.#release() })
    const leftMs = timeoutMs - (performance.now() - startedAt)
    // A call that had its connection at once ends together with the pool it is stuck in, so that the next finds a new one.
    return await (leftMs > runMs - AT_ONCE_MS ? work : within(work, leftMs))
  }

  async #acquire (timeoutMs: number): Promise<void> {
    if (this.#isClosed) throw new RegentError('RGT_SHUTTING_DOWN')
    if (this.#running < this.#options.poolSize) {
      this.#running++
      return
    }
    if (this.#waiting.length >= MOST_WAITING) throw new RegentError('RGT_OVERLOADED')
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(wake), 1)
        reject(new RegentError('RGT_DATABASE_BUSY'))
      }, timeoutMs)
      const wake = (): void => {
        clearTimeout(timer)
        if (this.#isClosed) reject(new RegentError('RGT_SHUTTING_DOWN'))
        else resolve()
      }
      this.#waiting.push(wake)
    })
  }

  /** Hand the connection to whoever waits for one, without letting a newcomer in between. */
  #release (): void {
    const next = this.#waiting.shift()
    if (next !== undefined) {
      next()
      return
    }
    this.#running--
    if (this.#running === 0) this.#onIdle?.()
  }

  /** Run a statement for as long as a live server could take over it. */
  async #run<T extends Row> (statement: Statement<T>, timeoutMs: number): Promise<T[]> {
    const sql = this.#sql
    const query = statement(sql, identifier(sql, this.schema))
    return wholeRows<T>(await within(query, timeoutMs, () => { this.#replace(sql) }))
  }

  /** A server that were alive would have cancelled the statement by now: nothing on this pool is to be trusted. */
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

/** Wait for a call at most so long; then its outcome is unknown. */
async function within<T> (call: PromiseLike<T>, timeoutMs: number, onTimeout: () => void = () => {}): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new RegentError('RGT_OUTCOME_UNKNOWN'))
      onTimeout()
    }, Math.max(timeoutMs, 0))
  })
  try {
    // Should the call lose, the race has still taken note of its rejection.
    return await Promise.race([call, deadline])
  } finally {
    clearTimeout(timer)
  }
}
