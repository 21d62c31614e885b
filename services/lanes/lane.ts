import { RegentError, hasCode } from '../errors.ts'
import { Histogram, ITEMS, SECONDS } from '../metrics/histogram.ts'
import type { Scope, Scopes } from '../telemetry/scopes.ts'
import { isSharedFault } from './shared-fault.ts'

/** One request in a lane: its payload and how much of a call it takes. */
export interface Job<T, R> {
  readonly input: T
  /** What the job touches; jobs that share one run one after the other, in order of arrival. */
  readonly keys: readonly string[]
  readonly items: number
  readonly bytes: number
  /** On the monotonic clock of this process, in milliseconds. */
  readonly arrivedAt: number
  /** Null without telemetry. */
  readonly scope: Scope | null
  readonly resolve: (result: R) => void
  readonly reject: (error: unknown) => void
}

export interface LaneOptions<T, R> {
  /** Runs one call for all these inputs, which are of one kind; returns a result for each, in order. */
  run: (inputs: T[], kind: string) => Promise<R[]>
  /** What kind a job is of, asked when its turn comes; null: not now, it stays until `kick`. */
  kindOf?: (input: T) => string | null
  /** Makes calls within the scopes of the jobs that they serve; null: nobody looks at them. */
  scopes?: Scopes | null
  /** Calls in flight at the most. */
  maxCalls: number
  /** A call takes more jobs until one of these is reached. */
  maxItems: number
  maxBytes: number
  /** Jobs and bytes that may wait; beyond that the lane answers RGT_OVERLOADED. */
  maxWaiting: number
  maxWaitingBytes: number
}

const ONLY_KIND = ''

/**
 * Natural batching: while calls are in flight, new jobs gather; when one returns, all that have gathered go out as the
 * next. Idle, a job goes out at once. A job that fails on its data does not fail its neighbours: the call is split.
 */
export class Lane<T, R> {
  /** How long jobs waited for their call, in seconds, and how many items calls were begun with. */
  readonly waits = new Histogram(SECONDS)
  readonly sizes = new Histogram(ITEMS)
  readonly #options: LaneOptions<T, R>
  readonly #busy = new Set<string>()
  #queue: Job<T, R>[] = []
  #queuedBytes = 0
  #calls = 0
  #isScheduled = false
  #isClosed = false
  #idle: (() => void) | null = null
  #closed: Promise<void> | null = null

  constructor (options: LaneOptions<T, R>) {
    this.#options = options
  }

  /** Jobs waiting for a call, and calls in flight. */
  get load (): { waiting: number, calls: number } {
    return { waiting: this.#queue.length, calls: this.#calls }
  }

  /** Put a job in the lane; settles with its own result or error. */
  async submit (input: T, keys: readonly string[], items: number, bytes: number): Promise<R> {
    if (this.#isClosed) throw new RegentError('RGT_SHUTTING_DOWN')
    const { maxWaiting, maxWaitingBytes } = this.#options
    if (this.#queue.length >= maxWaiting || (this.#queue.length > 0 && this.#queuedBytes + bytes > maxWaitingBytes)) {
      throw new RegentError('RGT_OVERLOADED')
    }
    return await new Promise<R>((resolve, reject) => {
      this.#queue.push({ input, keys, items, bytes, arrivedAt: performance.now(), scope: this.#options.scopes?.current() ?? null, resolve, reject })
      this.#queuedBytes += bytes
      this.#schedule()
    })
  }

  /** Jobs that were not to be taken may be now. */
  kick (): void {
    this.#schedule()
  }

  /** Refuse new jobs and wait until those taken have been answered. */
  async close (): Promise<void> {
    this.#isClosed = true
    if (this.#calls === 0 && this.#queue.length === 0) return
    this.#closed ??= new Promise<void>(resolve => { this.#idle = resolve })
    await this.#closed
  }

  #schedule (): void {
    if (this.#isScheduled || this.#calls >= this.#options.maxCalls) return
    this.#isScheduled = true
    // After the current turn of the event loop: requests that arrived in the same read go out together.
    setImmediate(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  #pump (): void {
    while (this.#calls < this.#options.maxCalls) {
      const { jobs, kind } = this.#take()
      if (jobs.length === 0) break
      this.#calls++
      this.#measure(jobs)
      for (const job of jobs) for (const key of job.keys) this.#busy.add(key)
      void this.#begin(jobs, kind).then(() => {
        for (const job of jobs) for (const key of job.keys) this.#busy.delete(key)
        this.#calls--
        this.#pump()
      })
    }
    if (this.#calls === 0 && this.#queue.length === 0) this.#idle?.()
  }

  /** The next call's jobs, oldest first. A job whose keys are busy stays, and so do later ones that share a key with it. */
  #take (): { jobs: Job<T, R>[], kind: string } {
    const { maxItems, maxBytes, kindOf } = this.#options
    const taken: Job<T, R>[] = []
    const left: Job<T, R>[] = []
    const held = new Set<string>()
    let items = 0
    let bytes = 0
    let kind: string | undefined
    for (const job of this.#queue) {
      const isFull = taken.length > 0 && (items + job.items > maxItems || bytes + job.bytes > maxBytes)
      if (isFull || job.keys.some(key => this.#busy.has(key) || held.has(key)) || !isOfKind(job.input)) {
        for (const key of job.keys) held.add(key)
        left.push(job)
      } else {
        taken.push(job)
        items += job.items
        bytes += job.bytes
      }
    }
    this.#queue = left
    this.#queuedBytes -= bytes
    return { jobs: taken, kind: kind ?? ONLY_KIND }

    // The first job that can be taken says which.
    function isOfKind (input: T): boolean {
      const own = kindOf === undefined ? ONLY_KIND : kindOf(input)
      if (own === null) return false
      kind ??= own
      return own === kind
    }
  }

  #measure (jobs: readonly Job<T, R>[]): void {
    const now = performance.now()
    let items = 0
    for (const job of jobs) {
      this.waits.observe((now - job.arrivedAt) / 1000)
      items += job.items
    }
    this.sizes.observe(items)
  }

  async #begin (jobs: Job<T, R>[], kind: string): Promise<void> {
    const { scopes } = this.#options
    if (scopes == null) await this.#runSplitting(jobs, kind)
    else await scopes.run(jobs.map(job => job.scope).filter(scope => scope !== null), async () => { await this.#runSplitting(jobs, kind) })
  }

  async #runSplitting (jobs: Job<T, R>[], kind: string): Promise<void> {
    try {
      const results = await this.#options.run(jobs.map(job => job.input), kind)
      for (const [i, job] of jobs.entries()) {
        const result = results[i]
        if (result === undefined) job.reject(new RegentError('RGT_INTERNAL'))
        else job.resolve(result)
      }
    } catch (error) {
      // What timed out would time out again, and its halves one after the other.
      if (jobs.length === 1 || isSharedFault(error) || hasCode(error, 'RGT_DATABASE_SLOW')) {
        for (const job of jobs) job.reject(error)
        return
      }
      const middle = jobs.length >> 1
      await this.#runSplitting(jobs.slice(0, middle), kind)
      await this.#runSplitting(jobs.slice(middle), kind)
    }
  }
}
