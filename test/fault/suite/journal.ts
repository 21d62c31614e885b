export type Kind = 'push' | 'pop' | 'ack' | 'transaction'

/** One request of a client, and how it ended. */
export interface Call {
  readonly kind: Kind
  /** Number of the server process it went to; its next life has the same one. */
  readonly server: number
  readonly sentAt: number
  endedAt: number
  /** Status and code; `closed`: the connection ended; `silent`: given up on; empty: not over yet. */
  answer: string
}

/** A message as its producer sends it; `sequence` grows within each partition. */
export interface Item {
  queue: string
  partition: string
  transactionId: string
  sequence: number
}

/** One try to push some messages. The stored payload says which try it came from. */
export interface PushTry {
  call: Call
  attempt: number
  items: Item[]
  /** An element per item when it was answered 201. */
  results: { status: string, messageId: string | null }[]
}

/** A message as a pop shows it. */
export interface Delivered {
  id: string
  transactionId: string
  queue: string
  partition: string
  partitionId: string
  leaseId: string
  deliveryCount: number
  data: Payload
}

export interface Payload {
  /** Of the push that brought it; 0: it was pushed by a transaction. */
  attempt: number
  sequence: number
  /** Key of the message a transaction worker made this one from. */
  source?: string
  filler: string
}

export interface Delivery { call: Call, group: string, messages: Delivered[] }

export interface AckTry {
  call: Call
  group: string
  words: { message: Delivered, status: string }[]
  /** An element per word when it was answered 200. */
  results: { success: boolean, error: string | null }[]
}

export interface TransactionTry {
  call: Call
  group: string
  /** Each source is acknowledged, each target pushed. A new try has new targets, so what is stored tells the tries apart. */
  pairs: { source: Delivered, target: Item }[]
  /** From an answer 200; null otherwise. */
  success: boolean | null
}

/** A time in which a server did not serve, and why. */
export interface Downtime { server: number, how: 'killed' | 'stopped', from: number, until: number }

/** What is in the database when all is over. */
export interface Stored {
  queue: string
  partition: string
  position: number
  id: string
  transactionId: string
  data: Payload
}

export function keyOf ({ queue, partition, transactionId }: { queue: string, partition: string, transactionId: string }): string {
  return `${queue}/${partition}/${transactionId}`
}

/** Everything that clients did and were told, in the order in which they learned of it, and every fault that was made. */
export class Journal {
  readonly calls: Call[] = []
  readonly pushes: PushTry[] = []
  readonly deliveries: Delivery[] = []
  readonly acks: AckTry[] = []
  readonly transactions: TransactionTry[] = []
  readonly downtimes: Downtime[] = []
  /** What a client saw at once to be wrong. */
  readonly oddities: string[] = []
  readonly #faults = new Map<string, number>()
  readonly #now: () => number

  constructor (now: () => number = () => performance.now()) {
    this.#now = now
  }

  begin (kind: Kind, server: number): Call {
    const call = { kind, server, sentAt: this.#now(), endedAt: Infinity, answer: '' }
    this.calls.push(call)
    return call
  }

  end (call: Call, answer: string): void {
    call.endedAt = this.#now()
    call.answer = answer
  }

  fault (kind: string): void {
    this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1)
  }

  down (server: number, how: Downtime['how']): void {
    this.downtimes.push({ server, how, from: this.#now(), until: Infinity })
  }

  up (server: number): void {
    for (const downtime of this.downtimes) if (downtime.server === server && downtime.until === Infinity) downtime.until = this.#now()
  }

  /** Calls of a kind that were answered so. */
  count (kind: Kind, answer: string): number {
    return this.calls.filter(call => call.kind === kind && call.answer === answer).length
  }

  /** Calls of a kind under way. */
  underWay (kind: Kind): number {
    return this.calls.filter(call => call.kind === kind && call.answer === '').length
  }

  /** Calls of a kind that have been under way for so long. */
  waitingFor (kind: Kind, ms: number): number {
    return this.calls.filter(call => call.kind === kind && call.answer === '' && this.#now() - call.sentAt >= ms).length
  }

  /** Messages whose push was answered with this status. */
  pushed (status: string): number {
    return this.pushes.reduce((sum, { results }) => sum + results.filter(result => result.status === status).length, 0)
  }

  get delivered (): number {
    return this.deliveries.reduce((sum, { messages }) => sum + messages.length, 0)
  }

  /** Operations by kind and answer, and faults by kind, in a line. */
  summary (): string {
    const tally = new Map<string, number>()
    for (const { kind, answer } of this.calls) tally.set(`${kind} ${answer}`, (tally.get(`${kind} ${answer}`) ?? 0) + 1)
    const list = (counts: Map<string, number>): string => [...counts].sort().map(([what, n]) => `${what} ${n}`).join(', ')
    const statuses = ['queued', 'duplicate', 'buffered'].map(status => `${this.pushed(status)} ${status}`).join(' ')
    return `${list(tally)}; messages ${statuses}, ${this.delivered} delivered; faults: ${list(this.#faults)}`
  }
}
