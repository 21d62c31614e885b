import { parseAddress } from '../../../services/log/ids.ts'
import type { Payload } from './pushes.ts'
import { planOf } from './queues.ts'

/** A message as a pop shows it. */
export interface Message {
  id: string
  queue: string
  partition: string
  partitionId: string
  transactionId: string
  consumerGroup: string
  leaseId: string
  deliveryCount: number
  retryCount: number
  data: Payload
}

/**
 * What became of what a consumer said about a message. `maybe`: it was told that the outcome is unknown, or nothing.
 * `again`: it comes again. `no`: it was told that this changed nothing.
 */
export type Outcome = 'open' | 'done' | 'dead' | 'again' | 'no' | 'maybe'
export type Status = 'completed' | 'failed' | 'retry' | 'dlq'

export interface Word {
  status: Status
  /** Null: the consumer claimed no lease. */
  leaseId: string | null
  position: number
  error: string
  /** Acknowledgements in one request count as one failure. */
  call: object
  sentAt: number
  endedAt: number
  outcome: Outcome
}

/** A partition's messages in one delivery. */
export interface Part {
  leaseId: string
  positions: number[]
  sentAt: number
  endedAt: number
  /** The lease lasts at least until then, unless something is said under it. */
  until: number
}

// Both clocks are of one machine; only their reading is not exact.
const MARGIN_MS = 20
const MAYBE: ReadonlySet<Outcome> = new Set(['open', 'done', 'dead', 'maybe'])

/** What one consumer group was given of one partition, and what it said about it. */
export class GroupBook {
  readonly name: string
  readonly queue: string
  readonly partition: string
  readonly group: string
  /** By position. */
  readonly words = new Map<number, Word[]>()
  readonly parts: Part[] = []
  readonly faults: string[]
  /** Everything up to here was done before now. */
  #prefix = 0
  /** It pops with autoAck: what others took may not have arrived yet, or have got lost on its way. */
  readonly isAuto: boolean

  constructor (queue: string, partition: string, group: string, faults: string[]) {
    this.name = `${queue}/${partition} for ${group}`
    this.queue = queue
    this.partition = partition
    this.group = group
    this.isAuto = planOf(queue).autoGroup === group
    this.faults = faults
  }

  /** Messages of this partition were delivered. `isSure`: the service knows that they were received. */
  delivered (messages: readonly Message[], sentAt: number, endedAt: number, isSure: boolean): Part {
    const leaseId = messages[0]?.leaseId ?? ''
    const positions = messages.map(message => positionOf(message.id))
    const until = leaseId === '' || !isSure ? 0 : sentAt + planOf(this.queue).leaseSeconds * 1000
    const part: Part = { leaseId, positions, sentAt, endedAt, until }
    this.#checkContinuation(positions)
    for (const [i, message] of messages.entries()) this.#checkMessage(message, positions[i] ?? 0, sentAt)
    for (const other of this.parts) {
      if (other.leaseId === leaseId && leaseId !== '') this.#fault(`lease ${leaseId} was given twice`)
      // Its own lease may have ended on the way here, and the other begun after it.
      const isCurrent = leaseId === '' ? sentAt > other.endedAt : endedAt + MARGIN_MS < until
      if (isCurrent && endedAt + MARGIN_MS < this.liveUntil(other)) this.#fault(`${positions[0]} to ${positions.at(-1)} were delivered under ${leaseId} while ${other.leaseId} lived, ${Math.round(this.liveUntil(other) - endedAt)} ms before its end`)
    }
    this.parts.push(part)
    if (leaseId === '') {
      for (const position of positions) this.#add({ status: 'completed', leaseId: null, position, error: '', call: part, sentAt, endedAt, outcome: 'done' })
    }
    return part
  }

  say (word: Omit<Word, 'sentAt' | 'endedAt' | 'outcome'>): Word {
    const said: Word = { ...word, sentAt: performance.now(), endedAt: Infinity, outcome: 'open' }
    this.#add(said)
    return said
  }

  /** Until when a lease surely lives, as far as is known now: `but` is what is being judged by it. */
  liveUntil (part: Part, but?: object): number {
    if (part.until === 0) return 0
    let allDoneFrom = 0
    let until = part.until
    for (const position of part.positions) {
      let doneFrom = Infinity
      for (const word of this.words.get(position) ?? []) {
        if (word.call === but || word.outcome === 'no') continue
        if (word.outcome !== 'again') doneFrom = Math.min(doneFrom, word.sentAt)
        // Only a word under the lease ends it early.
        if ((word.status === 'failed' || word.status === 'retry') && word.leaseId === part.leaseId) until = Math.min(until, word.sentAt)
      }
      allDoneFrom = Math.max(allDoneFrom, doneFrom)
    }
    return Math.min(until, allDoneFrom)
  }

  /** Whether a lease was alive for the whole time of a request, but for what that request itself said. */
  livedThrough (part: Part, endedAt: number, call: object): boolean {
    return endedAt + MARGIN_MS < this.liveUntil(part, call)
  }

  /** Whether somebody else had the partition before a time at which this lease's holder spoke. */
  wasTakenOver (part: Part, before: number): boolean {
    return this.parts.some(other => other !== part && other.sentAt > part.endedAt && other.endedAt < before)
  }

  mayBeDone (position: number, but?: Word): boolean {
    return (this.words.get(position) ?? []).some(word => word !== but && MAYBE.has(word.outcome))
  }

  /** Whether it was said and confirmed before a time. */
  isDoneBefore (position: number, time: number): boolean {
    return (this.words.get(position) ?? []).some(word => (word.outcome === 'done' || word.outcome === 'dead') && word.endedAt < time)
  }

  /** How often a message has surely and possibly failed. */
  failures (position: number, until = Infinity, but?: object): { least: number, most: number } {
    const failed = (this.words.get(position) ?? []).filter(({ status, outcome, call }) => status === 'failed' && outcome !== 'no' && call !== but)
    const calls = (words: Word[]): number => new Set(words.map(({ call }) => call)).size
    return { least: calls(failed.filter(word => (word.outcome === 'again' || word.outcome === 'dead') && word.endedAt < until)), most: calls(failed) }
  }

  /** Every position up to the one given has been done, or may have been. */
  missing (last: number): number[] {
    const missing: number[] = []
    for (let position = 1; position <= last; position++) if (!this.mayBeDone(position)) missing.push(position)
    return missing
  }

  #add (word: Word): void {
    const known = this.words.get(word.position)
    if (known === undefined) this.words.set(word.position, [word])
    else known.push(word)
  }

  /** A delivery goes on where what has been done ends, and leaves out only what has been done. */
  #checkContinuation (positions: readonly number[]): void {
    while (this.isDoneBefore(this.#prefix + 1, Infinity)) this.#prefix++
    let before = 0
    for (const position of positions) {
      if (position <= before) this.#fault(`${position} was delivered behind ${before}`)
      for (let left = Math.max(before, this.#prefix) + 1; left < position; left++) {
        if (!this.isAuto && !this.mayBeDone(left)) this.#fault(`${position} was delivered before ${left}, which nobody has acknowledged`)
      }
      before = position
    }
  }

  #checkMessage (message: Message, position: number, sentAt: number): void {
    if (this.isDoneBefore(position, sentAt)) this.#fault(`${position} was delivered again after it had been acknowledged`)
    const { least, most } = this.failures(position, sentAt)
    const { retryCount, deliveryCount } = message
    if (retryCount < least || retryCount > most) this.#fault(`${position} has failed ${least} to ${most} times and was delivered with retryCount ${retryCount}`)
    if (deliveryCount <= retryCount) this.#fault(`${position} was delivered with deliveryCount ${deliveryCount} and retryCount ${retryCount}`)
  }

  #fault (text: string): void {
    this.faults.push(`${this.name}: ${text}`)
  }
}

export function positionOf (id: string): number {
  return parseAddress(id)?.position ?? 0
}

/** The books of all groups and partitions. */
export class Groups {
  readonly books = new Map<string, GroupBook>()
  readonly faults: string[]

  constructor (faults: string[]) {
    this.faults = faults
  }

  bookOf ({ queue, partition }: { queue: string, partition: string }, group: string): GroupBook {
    const key = `${queue}/${partition}/${group}`
    let book = this.books.get(key)
    if (book === undefined) this.books.set(key, book = new GroupBook(queue, partition, group, this.faults))
    return book
  }
}
