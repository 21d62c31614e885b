import { randomUUID } from 'node:crypto'
import type { Pool } from '../database/pool.ts'
import type { Log } from '../queue/types.ts'
import type { Counters } from './counters.ts'
import { Figures } from './figures.ts'
import { Histogram, SECONDS } from './histogram.ts'
import { addBatch, packBatches } from './packets.ts'
import type { Batch, Identity, Packet } from './packets.ts'
import { RequestTimes } from './request-times.ts'
import type { EndedRequest } from './request-times.ts'
import { Sampler } from './sampler.ts'
import type { ProcessSample } from './sampler.ts'

/** The engine, as far as it is measured. */
export interface Measured {
  readonly counters: Counters
  readonly load: { parkedPops: number, pushesWaiting: number, acksWaiting: number, transactionsWaiting: number }
  eachParked: (visit: (queue: string, pops: number) => void) => void
}

export interface MetricsOptions {
  pool: Pool
  engine: Measured
  identity: () => Identity
  /** Between two samples, in milliseconds. */
  sampleMs: number
  /** Between two writes. */
  aggregateSeconds: number
  log: Log
  /** Milliseconds since 1970. */
  now?: () => number
}

export interface Operations { calls: number, items: number, latencyMicros: number }

/** Figures of this process now. */
export interface ProcessFigures {
  uptimeSeconds: number
  requests: { total: number, perSecond: number, inFlight: number }
  messages: { total: number, perSecond: number }
  pool: { size: number, idle: number, active: number, waiting: number }
  virtualBytes: number
  operations: { push: Operations, pop: Operations, ack: Operations }
}

const MINUTE_MS = 60_000
// A process that ends does not wait longer than this for its last numbers to arrive.
const LAST_WRITE_MS = 2000

/**
 * Counts and samples of this process, written to the history in the database from time to time: a row per minute, and one
 * per queue that something happened to. What could not be written is kept and written later; each write is numbered, so
 * one that is repeated because its outcome was unknown counts once.
 */
export class Metrics {
  /** How long requests took, and the longest delay of the event loop of each sample, in seconds. */
  readonly requestTimes = new RequestTimes()
  readonly loopDelays = new Histogram(SECONDS)
  readonly #options: MetricsOptions
  readonly #now: () => number
  readonly #sampler = new Sampler()
  readonly #writer = randomUUID()
  readonly #batches: Batch[] = []
  #packets: Packet[] = []
  #seq = 0
  #figures = new Figures()
  #minuteMs: number
  #writtenAtMs: number
  #poolFailures = 0
  #requests = { total: 0, inFlight: 0 }
  #rates = { requests: 0, messages: 0, requestsBefore: 0, messagesBefore: 0 }
  readonly #latency = {
    push: { calls: 0, ms: 0, micros: 0 }, pop: { calls: 0, ms: 0, micros: 0 }, ack: { calls: 0, ms: 0, micros: 0 }
  }

  #timer: NodeJS.Timeout | null = null
  #work: Promise<void> = Promise.resolve()
  #isFailing = false
  #isClosed = false

  constructor (options: MetricsOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#minuteMs = minuteOf(this.#now())
    this.#writtenAtMs = this.#now()
  }

  start (): void {
    this.#timer = setInterval(() => { this.sample() }, this.#options.sampleMs).unref()
  }

  requestStarted (): void {
    this.#requests.total++
    this.#requests.inFlight++
  }

  /** A request is over, so many milliseconds after its start. */
  requestEnded (request: EndedRequest, ms: number): void {
    this.#requests.inFlight--
    this.requestTimes.ended(request, ms)
  }

  /** Take one sample; when its time has come, write what was gathered in the background. */
  sample (): void {
    const now = this.#now()
    const isNewMinute = minuteOf(now) !== this.#minuteMs
    if (isNewMinute) this.#seal(minuteOf(now))
    const sample = this.#sampler.sample()
    this.#figures.take(this.#figuresOf(sample))
    this.loopDelays.observe(sample.loopDelayMaxMs / 1000)
    this.#options.engine.eachParked((queue, pops) => {
      this.#options.engine.counters.queue(queue).parkedMs += pops * sample.elapsedMs
    })
    this.#measureRates(sample.elapsedMs)
    const intervalMs = this.#options.aggregateSeconds * 1000
    // Whole minutes are written once they are over: the newest bucket of the history is a complete one.
    const isDue = intervalMs < MINUTE_MS ? now - this.#writtenAtMs >= intervalMs : isNewMinute && now - this.#writtenAtMs > intervalMs - MINUTE_MS / 2
    if (!isDue) return
    this.#writtenAtMs = now
    void this.flush(intervalMs < MINUTE_MS).catch((error: unknown) => {
      this.#options.log[this.#isFailing ? 'debug' : 'warn']({ err: error }, 'writing metrics failed and is tried again')
      this.#isFailing = true
    })
  }

  /**
   * Write what was gathered. Throws what Pool.call throws; then it is kept for the next time.
   * @param isOpenIncluded also that of the minute which is not over
   */
  async flush (isOpenIncluded = true, timeoutMs?: number): Promise<void> {
    const work = this.#work.then(async () => { await this.#write(isOpenIncluded, timeoutMs) })
    this.#work = work.catch(() => {})
    await work
  }

  /** The last sample and the last write. Never throws: numbers of an unreachable database are lost. */
  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#sampler.close()
    // A write that is stuck holds up the last one.
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => { reject(new Error('the database did not answer in time')) }, LAST_WRITE_MS)
    })
    try {
      await Promise.race([this.flush(true, LAST_WRITE_MS), deadline])
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the last metrics could not be written')
    } finally {
      clearTimeout(timer)
    }
  }

  /** The process as it is now. */
  figures (): ProcessFigures {
    const { pool, engine } = this.#options
    const { running, waiting, size } = pool.load
    const total = engine.counters.sinceStart()
    const { push, pop, ack } = engine.counters.spent
    const { requests, messages } = this.#rates
    return {
      uptimeSeconds: process.uptime(),
      requests: { total: this.#requests.total, inFlight: this.#requests.inFlight, perSecond: requests },
      messages: { total: total.pushMessages, perSecond: messages },
      pool: { size, idle: size - running, active: running, waiting },
      virtualBytes: this.#sampler.virtualBytes(),
      operations: {
        push: { calls: push.calls, items: total.pushMessages, latencyMicros: this.#latency.push.micros },
        pop: { calls: pop.calls, items: total.popMessages, latencyMicros: this.#latency.pop.micros },
        ack: { calls: ack.calls, items: total.ackSuccess + total.ackFailed, latencyMicros: this.#latency.ack.micros }
      }
    }
  }

  #figuresOf (sample: ProcessSample): Record<string, number> {
    const { pool, engine } = this.#options
    const { running, waiting, size } = pool.load
    const { pushesWaiting, acksWaiting, transactionsWaiting } = engine.load
    return {
      'cpu.user_us': sample.cpuUser,
      'cpu.system_us': sample.cpuSystem,
      'memory.rss_bytes': sample.rssBytes,
      'memory.virtual_bytes': sample.virtualBytes,
      'database.pool_size': size,
      'database.pool_idle': size - running,
      'database.pool_active': running,
      'database.waiting': waiting,
      'registries.response': this.#requests.inFlight,
      'loop.delay_ms': sample.loopDelayMs,
      'loop.max_ms': sample.loopDelayMaxMs,
      'lanes.waiting': pushesWaiting + acksWaiting + transactionsWaiting
    }
  }

  #measureRates (elapsedMs: number): void {
    const { counters } = this.#options.engine
    const { pushMessages } = counters.sinceStart()
    const perSecond = (now: number, before: number): number => (now - before) * 1000 / elapsedMs
    const { requestsBefore, messagesBefore } = this.#rates
    this.#rates = {
      requests: perSecond(this.#requests.total, requestsBefore),
      messages: perSecond(pushMessages, messagesBefore),
      requestsBefore: this.#requests.total,
      messagesBefore: pushMessages
    }
    for (const name of ['push', 'pop', 'ack'] as const) {
      const { calls, ms } = counters.spent[name]
      const before = this.#latency[name]
      if (calls === before.calls) continue
      before.micros = (ms - before.ms) * 1000 / (calls - before.calls)
      before.calls = calls
      before.ms = ms
    }
  }

  /** Set aside what was gathered in the open minute; `minuteMs` is the one that is open from now on. */
  #seal (minuteMs: number): void {
    const { pool, engine } = this.#options
    engine.counters.process.dbErrors += pool.failures - this.#poolFailures
    this.#poolFailures = pool.failures
    addBatch(this.#batches, { bucketMs: this.#minuteMs, ...engine.counters.take(), figures: this.#figures })
    this.#figures = new Figures()
    this.#minuteMs = minuteMs
  }

  async #write (isOpenIncluded: boolean, timeoutMs?: number): Promise<void> {
    if (isOpenIncluded) this.#seal(minuteOf(this.#now()))
    await this.#send(timeoutMs)
    // Only now: what has been numbered is sent again as it is, or a write that did arrive would count twice.
    this.#packets = packBatches(this.#batches.splice(0), this.#options.identity(), this.#seq + 1)
    this.#seq += this.#packets.length
    await this.#send(timeoutMs)
    this.#isFailing = false
  }

  async #send (timeoutMs?: number): Promise<void> {
    for (let packet = this.#packets[0]; packet !== undefined; packet = this.#packets[0]) {
      const { seq, queues, workers, totals } = packet
      await this.#options.pool.call((sql, schema) => sql`
        select ${schema}.write_metrics_v1(${this.#writer}::text::uuid, ${seq}::bigint, ${queues}::text::json, ${workers}::text::json,
          ${totals}::text::json)`, timeoutMs)
      this.#packets.shift()
    }
  }
}

function minuteOf (ms: number): number {
  return ms - ms % MINUTE_MS
}
