import type { HttpConnection } from '../http-connection.ts'
import { numberIn } from '../messages.ts'
import type { Tally } from '../tally.ts'

const ID_KEY = '"transactionId":"'
const PARTITION_KEY = '"partitionId":"'
const LEASE_KEY = '"leaseId":"'
const UUID_LENGTH = 36
// Every so many answers one is parsed in full, to check the quick reading of the others.
const PARSE_EVERY = 100

/** The answer of a pop, searched for its ids instead of parsed: half a megabyte of JSON costs a consumer more than it costs the server. */
export class PopAnswer {
  readonly body: string
  readonly ids: string[] = []

  constructor (body: string) {
    this.body = body
    for (let at = body.indexOf(ID_KEY); at !== -1; at = body.indexOf(ID_KEY, at + UUID_LENGTH)) {
      at += ID_KEY.length
      this.ids.push(body.slice(at, at + UUID_LENGTH))
    }
  }

  get partitionId (): string {
    return this.#valueOf(PARTITION_KEY)
  }

  get leaseId (): string {
    return this.#valueOf(LEASE_KEY)
  }

  #valueOf (key: string): string {
    const at = this.body.indexOf(key) + key.length
    return this.body.slice(at, at + UUID_LENGTH)
  }
}

/** Acknowledge all of an answer as completed; what is refused is a fault. */
export async function acknowledge (connection: HttpConnection, { ids, partitionId, leaseId }: PopAnswer, group: string | null, tally: Tally): Promise<void> {
  const named = group === null ? '' : `,"consumerGroup":"${group}"`
  const rest = `","partitionId":"${partitionId}","leaseId":"${leaseId}","status":"completed"${named}}`
  const acks = ids.map(id => `{"transactionId":"${id}${rest}`)
  const { status, body } = ids.length === 1
    ? await connection.post('/api/v1/ack', acks[0] ?? '')
    : await connection.post('/api/v1/ack/batch', `{"acknowledgments":[${acks.join(',')}]${named}}`)
  tally.requests++
  if (status !== 200 || body.includes('"success":false')) tally.fault(`an acknowledgement failed (status ${status})`)
}

/** Which messages of a known number have come: each must, once. */
export class Ledger {
  readonly #seen: Uint8Array
  readonly #tally: Tally
  readonly #first: number
  #answers = 0
  count = 0

  /** @param first number of the first message; there are `messages` from there on */
  constructor (messages: number, tally: Tally, first = 0) {
    this.#seen = new Uint8Array(messages)
    this.#tally = tally
    this.#first = first
  }

  get isComplete (): boolean {
    return this.count >= this.#seen.length
  }

  /** Checks off what an answer holds. */
  take (answer: PopAnswer): void {
    if (++this.#answers % PARSE_EVERY === 0) this.#check(answer)
    for (const id of answer.ids) {
      const index = numberIn(id) - this.#first
      const times = this.#seen[index]
      if (times === undefined) this.#tally.fault('a message that was never pushed')
      else if (times > 0) this.#tally.fault('a message that came twice')
      else {
        this.#seen[index] = 1
        this.count++
      }
    }
  }

  /** To be called at the end. */
  finish (): void {
    const missing = this.#seen.length - this.count
    if (missing > 0) this.#tally.fault(`${missing} messages never came`)
  }

  #check ({ body, ids }: PopAnswer): void {
    const { messages } = JSON.parse(body) as { messages: { transactionId: string, data: { orderId?: unknown } }[] }
    const isRight = messages.length === ids.length && messages.every((message, i) => message.transactionId === ids[i] && typeof message.data.orderId === 'string')
    if (!isRight) this.#tally.fault('an answer that does not read as JSON as it was searched')
  }
}

/** Says when nothing has come for so long that what is missing will not come. */
export class Patience {
  static readonly STALL_MS = 10_000
  #lastAt = performance.now()

  progress (now: number): void {
    this.#lastAt = now
  }

  get isOver (): boolean {
    return performance.now() - this.#lastAt > Patience.STALL_MS
  }

  get lastAt (): number {
    return this.#lastAt
  }
}
