import type { Delivery, PopRequest, Run } from '../poll/types.ts'
import { isIn, parseRanges } from '../queue/messages-in.ts'
import type { Outgoing } from '../queue/outgoing.ts'
import type { TransactionInput, TransactionResult } from '../queue/transaction.ts'
import type { Acknowledgement, AckResult, PushResult } from '../queue/types.ts'
import { AGE_SECONDS, Histogram } from './histogram.ts'
import { Tally } from './tally.ts'

/** Counts of one stretch of time. */
export interface Counts {
  readonly process: Tally
  readonly queues: Map<string, Tally>
}

// More names than this in one stretch are counted together.
const MOST_QUEUES = 10_000
/** Under this name. */
export const OTHER_QUEUES = '__other__'

/**
 * What the engine does, counted per queue and for the process: a few additions per request. Whoever writes it away takes
 * it from time to time; what is taken is not counted any further.
 */
export class Counters {
  /** Time spent on requests since the process started; of pops only that of looking for messages. */
  readonly spent = { push: { calls: 0, ms: 0 }, pop: { calls: 0, ms: 0 }, ack: { calls: 0, ms: 0 } }
  /** How old messages were at their delivery, in seconds. */
  readonly messageAges = new Histogram(AGE_SECONDS)
  /** Since the process started: messages delivered that had been delivered before, and leases that ran out. */
  readonly setbacks = { redelivered: 0, expiredLeases: 0 }
  /** What was taken so far. */
  readonly #taken = new Tally()
  #counts: Counts = { process: new Tally(), queues: new Map() }

  /** The process's own tally, for what concerns no queue. */
  get process (): Tally {
    return this.#counts.process
  }

  queue (name: string): Tally {
    const { queues } = this.#counts
    let tally = queues.get(name)
    if (tally === undefined) {
      const known = queues.size < MOST_QUEUES ? name : OTHER_QUEUES
      tally = queues.get(known)
      if (tally === undefined) {
        tally = new Tally()
        queues.set(known, tally)
      }
    }
    return tally
  }

  /** Everything counted since the last time. */
  take (): Counts {
    const taken = this.#counts
    this.#counts = { process: new Tally(), queues: new Map() }
    this.#taken.add(taken.process)
    return taken
  }

  /** Everything counted since the process started. */
  sinceStart (): Tally {
    const all = new Tally()
    all.add(this.#taken)
    all.add(this.#counts.process)
    return all
  }

  /** A push was answered, after so many milliseconds. */
  pushed (results: readonly PushResult[], ms: number): void {
    if (results.length === 0) return
    this.spent.push.calls++
    this.spent.push.ms += ms
    const tallies = this.#countStored(results)
    for (const tally of tallies) tally.pushRequests++
    this.process.pushRequests++
  }

  /** Messages of the file buffer were stored; their requests were counted when they were answered. */
  drained (messages: readonly Outgoing[]): void {
    this.#countStored(messages.flatMap(({ result, writtenTo }) => result === null || writtenTo === null ? [] : [result]))
  }

  /** A pop was answered; null: with nothing. Pops for a label rather than a queue count for the process alone. */
  popped ({ target }: PopRequest, delivery: Delivery | null): void {
    const { process } = this
    process.popRequests++
    if (delivery === null) {
      process.popEmpty++
      if (target.queue === null) return
      const tally = this.queue(target.queue)
      tally.popRequests++
      tally.popEmpty++
      return
    }
    const tally = this.queue(delivery.queue)
    tally.popRequests++
    const now = Date.now()
    for (const run of delivery.runs) {
      const { first, last, skip, createdAt } = run
      const messages = last - first + 1 - (skip === null ? 0 : skippedIn(skip, first, last))
      // The database's clock against ours: a little ahead of us is no lag.
      const lagMs = Math.max(now - Date.parse(createdAt), 0)
      countDelivered(process, messages, lagMs)
      countDelivered(tally, messages, lagMs)
      this.messageAges.observe(lagMs / 1000, messages)
      this.setbacks.redelivered += comeAgain(run)
      // Without a lease they were acknowledged with their delivery.
      if (delivery.leaseId === null) {
        process.ackSuccess += messages
        tally.ackSuccess += messages
      }
    }
  }

  /** There was a look for messages, which took over so many leases that had run out. */
  looked (ms: number, expiredLeases = 0): void {
    this.spent.pop.calls++
    this.spent.pop.ms += ms
    this.setbacks.expiredLeases += expiredLeases
  }

  /** Acknowledgements were answered, after so many milliseconds. */
  acked (acks: readonly Acknowledgement[], results: readonly AckResult[], ms: number): void {
    if (results.length === 0) return
    this.spent.ack.calls++
    this.spent.ack.ms += ms
    const tallies = this.#countSettled(acks, results)
    for (const tally of tallies) tally.ackRequests++
    this.process.ackRequests++
  }

  /** A transaction was answered; only committed ones count. */
  transacted ({ acks }: TransactionInput, result: TransactionResult): void {
    if (!result.success) return
    const tallies = new Set([...this.#countStored(result.pushes), ...this.#countSettled(acks, result.acks)])
    for (const tally of tallies) tally.transactions++
    this.process.transactions++
  }

  /** Partitions of a queue were made. */
  partitionsCreated (queue: string, count: number): void {
    this.process.partitionsCreated += count
    this.queue(queue).partitionsCreated += count
  }

  /** Neighbours are mostly of one queue: its tally is looked up once. */
  #countStored (results: readonly PushResult[]): Set<Tally> {
    const tallies = new Set<Tally>()
    let tally: Tally | null = null
    let queue = ''
    let stored = 0
    for (const result of results) {
      if (tally === null || result.queue !== queue) {
        queue = result.queue
        tally = this.queue(queue)
        tallies.add(tally)
      }
      if (result.status === 'queued') {
        tally.pushMessages++
        stored++
      }
    }
    this.process.pushMessages += stored
    return tallies
  }

  #countSettled (acks: readonly Acknowledgement[], results: readonly AckResult[]): Set<Tally> {
    const tallies = new Set<Tally>()
    const { process } = this
    let tally: Tally | null = null
    let queue: string | null = null
    for (let i = 0; i < results.length; i++) {
      const result = results[i]
      if (result === undefined) continue
      // What was found nowhere concerns no queue.
      if (result.queue !== queue) {
        queue = result.queue
        tally = queue === null ? null : this.queue(queue)
        if (tally !== null) tallies.add(tally)
      }
      const isCompleted = result.success && acks[i]?.status === 'completed'
      if (isCompleted) process.ackSuccess++
      else process.ackFailed++
      if (result.dlq) process.deadLetters++
      if (tally === null) continue
      if (isCompleted) tally.ackSuccess++
      else tally.ackFailed++
      if (result.dlq) tally.deadLetters++
    }
    return tallies
  }
}

function countDelivered (tally: Tally, messages: number, lagMs: number): void {
  tally.popMessages += messages
  tally.lagCount += messages
  tally.lagSumMs += lagMs * messages
  if (lagMs > tally.lagMaxMs) tally.lagMaxMs = lagMs
}

/** How many messages of a run had been delivered before. */
function comeAgain ({ attempts, skip }: Run): number {
  if (attempts === null) return 0
  const skipped = skip === null ? [] : parseRanges(skip)
  return attempts.split(',').filter(entry => !isIn(skipped, Number.parseInt(entry, 10))).length
}

function skippedIn (skip: string, first: number, last: number): number {
  let count = 0
  for (const [from, before] of parseRanges(skip)) count += Math.max(Math.min(before, last + 1) - Math.max(from, first), 0)
  return count
}
