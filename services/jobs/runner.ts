import { setTimeout as delay } from 'node:timers/promises'
import type { Row } from 'postgres'
import type { ConnectionOptions } from '../database/connection.ts'
import type { Statement } from '../database/pool.ts'
import { RegentError } from '../errors.ts'
import type { Log } from '../queue/types.ts'
import { JobConnection } from './connection.ts'

/** What a job works with. */
export interface JobContext {
  /** Run one statement: a step of the job, bounded in time and rows. Throws once the runner is closed. */
  call: <T extends Row> (statement: Statement<T>) => Promise<T[]>
  /** Leave the database to others, for as long as the last step took unless told otherwise. Throws once the runner is closed. */
  pause: (ms?: number) => Promise<void>
}

export interface Job {
  name: string
  /** Milliseconds between the end of a run and the start of the next. */
  intervalMs: number
  run: (context: JobContext) => Promise<void>
}

export interface JobRunnerOptions {
  connection: ConnectionOptions
  /** Milliseconds a statement may take. */
  callTimeoutMs: number
  /** Milliseconds between two tries to become the instance that runs the jobs. */
  lockRetryMs: number
  jobs: readonly Job[]
  log: Log
}

const SHORTEST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 1000

/**
 * Runs the background jobs in one instance among several: in the one whose connection holds the lock (see
 * JobConnection). Each job runs once at that point and then at its interval, never twice at once; if the connection is
 * lost, whoever tries next takes over.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions
  readonly #connection: JobConnection
  readonly #ending = new AbortController()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #running = new Map<string, Promise<void>>()
  #isAwaySaid = false
  /** How often the lock has been lost: a run that began before ends with its next step, somebody else may be at it. */
  #losses = 0

  constructor (options: JobRunnerOptions) {
    this.#options = options
    this.#connection = new JobConnection({
      connection: options.connection,
      callTimeoutMs: options.callTimeoutMs,
      onLost: () => { this.#stepDown() },
      log: options.log
    })
  }

  /** Whether this is the instance that runs the jobs. */
  get isActive (): boolean {
    return this.#connection.hasLock
  }

  /** Try for the lock from now on; goes on in the background, also while the database is away. */
  start (): void {
    if (!this.#ending.signal.aborted) void this.#seek()
  }

  /**
   * Run a job now in this instance, whichever runs the jobs; a run that is under way here is waited for first. Resolves
   * when it is done; throws what it failed with.
   */
  async runNow (name: string): Promise<void> {
    const job = this.#options.jobs.find(candidate => candidate.name === name)
    if (job === undefined) throw new Error(`no such job: ${name}`)
    for (let current = this.#running.get(name); current !== undefined; current = this.#running.get(name)) {
      await current.catch(() => {})
    }
    await this.#run(job)
  }

  /** Stop at once: what is under way is cancelled and undone. */
  async close (): Promise<void> {
    this.#ending.abort()
    for (const timer of this.#timers.values()) clearTimeout(timer)
    await this.#connection.close()
    await Promise.allSettled(this.#running.values())
  }

  async #seek (): Promise<void> {
    try {
      const isMine = await this.#connection.lock()
      this.#isAwaySaid = false
      if (isMine) {
        this.#options.log.debug({}, 'this instance runs the background jobs')
        for (const job of this.#options.jobs) void this.#runOnTime(job)
        return
      }
    } catch (error) {
      if (this.#ending.signal.aborted) return
      if (!this.#isAwaySaid) this.#options.log.warn({ err: error }, 'the background jobs wait for the database')
      this.#isAwaySaid = true
    }
    this.#after('seek', this.#options.lockRetryMs, () => { void this.#seek() })
  }

  #stepDown (): void {
    this.#losses++
    if (this.#ending.signal.aborted) return
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    this.#options.log.warn({}, 'the connection of the background jobs was lost')
    this.#after('seek', this.#options.lockRetryMs, () => { void this.#seek() })
  }

  async #runOnTime (job: Job): Promise<void> {
    try {
      // A run that somebody asked for does as well.
      await (this.#running.get(job.name) ?? this.#run(job))
    } catch (error) {
      if (!this.#ending.signal.aborted) this.#options.log.warn({ err: error, job: job.name }, 'a background job failed and is tried again at its next time')
    }
    if (this.isActive) this.#after(job.name, job.intervalMs, () => { void this.#runOnTime(job) })
  }

  async #run (job: Job): Promise<void> {
    const { signal } = this.#ending
    const losses = this.#losses
    let lastMs = 0
    const run = job.run({
      call: async statement => {
        if (this.#losses !== losses) throw new RegentError('RGT_DATABASE_AWAY')
        const startedAt = performance.now()
        const rows = await this.#connection.call(statement)
        lastMs = performance.now() - startedAt
        return rows
      },
      pause: async (ms = Math.min(Math.max(lastMs, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS)) => {
        await delay(ms, undefined, { signal, ref: false })
      }
    }).finally(() => { this.#running.delete(job.name) })
    this.#running.set(job.name, run)
    await run
  }

  #after (name: string, ms: number, act: () => void): void {
    if (this.#ending.signal.aborted) return
    clearTimeout(this.#timers.get(name))
    this.#timers.set(name, setTimeout(act, ms).unref())
  }
}
