import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../../invariants/support.ts'
import { until } from '../../support.ts'
import { Caller } from './caller.ts'
import type { Expectation } from './checker.ts'
import type { Delivered, Item, Journal, Payload } from './journal.ts'
import { keyOf } from './journal.ts'
import type { Servers } from './servers.ts'

type Random = (below: number) => number

/** `sources` are turned into `results` by transactions; `plain` is only read. */
const PLAIN = 'plain'
const SOURCES = 'sources'
const RESULTS = 'results'
const WORKERS = 'workers'
const LEASE_SECONDS = 3
// Much shorter than a lease: how long a pop may have had its messages is judged by it.
const POLL_MS = 1000
const PARTITIONS = 2
// Of a hundred deliveries, and of a hundred messages that come for the first time.
const DYING = 2
const FAILING = 3
const REPEATING = 3

/** What is to be found in the end. */
export const EXPECTATION: Expectation = {
  groups: { [PLAIN]: ['first', 'second'], [SOURCES]: [WORKERS], [RESULTS]: ['sink'] },
  targets: [RESULTS],
  leaseMs: LEASE_SECONDS * 1000
}

/**
 * Producers, consumers and transaction workers, who repeat what was answered 503 or not at all. Each producer keeps to one
 * server and its own partitions and sends one push after the other, so that their order is defined.
 */
export class Clients {
  readonly #servers: Servers
  readonly #journal: Journal
  readonly #caller: Caller
  readonly #seed: number
  readonly #producers: Promise<void>[] = []
  readonly #readers: Promise<void>[] = []
  #isProducing = true
  #isOver = false

  constructor (servers: Servers, journal: Journal, seed: number) {
    this.#servers = servers
    this.#journal = journal
    this.#caller = new Caller(servers, journal)
    this.#seed = seed
  }

  async start (producers: number): Promise<void> {
    for (const queue of Object.keys(EXPECTATION.groups)) await this.#configure(queue)
    for (let i = 0; i < producers; i++) this.#producers.push(this.#produce(i, seededRandom(this.#seed + i)))
    const random = (reader: number): Random => seededRandom(this.#seed + 1000 + reader)
    const groups: [string, string][] = [[PLAIN, 'first'], [PLAIN, 'first'], [PLAIN, 'second'], [PLAIN, 'second'], [RESULTS, 'sink']]
    for (const [i, [queue, group]] of groups.entries()) this.#readers.push(this.#consume(queue, group, random(i)))
    for (let i = 0; i < 2; i++) this.#readers.push(this.#transact(i, random(100 + i)))
  }

  /** No further pushes; those under way are repeated until they are taken. */
  async stopProducing (timeoutMs = 120_000): Promise<void> {
    this.#isProducing = false
    let areDone = false
    void Promise.all(this.#producers).then(() => { areDone = true })
    await until(() => areDone, timeoutMs).catch(() => { throw new Error('the producers do not come to an end') })
  }

  async stop (): Promise<void> {
    this.#isProducing = false
    this.#isOver = true
    this.#caller.stop()
    await Promise.all([...this.#producers, ...this.#readers])
  }

  async #configure (queue: string): Promise<void> {
    const answer = await fetch(`${this.#servers.url(0)}/api/v1/configure`, {
      method: 'POST', body: JSON.stringify({ queue, options: { leaseTime: LEASE_SECONDS, retryDelay: 100 } })
    })
    if (!answer.ok) throw new Error(`configure was answered ${answer.status}`)
  }

  async #produce (producer: number, random: Random): Promise<void> {
    const sequences = new Map<string, number>()
    for (let n = 0; this.#isProducing; n++) {
      const size = 1 + random(random(4) === 0 ? 30 : 6)
      const items = Array.from({ length: size }, (): Item => {
        const queue = random(4) === 0 ? SOURCES : PLAIN
        const partition = `${producer}-${random(PARTITIONS)}`
        const sequence = sequences.get(queue + partition) ?? 0
        sequences.set(queue + partition, sequence + 1)
        return { queue, partition, transactionId: `${producer}-${n}-${sequence}`, sequence }
      })
      const fillers = items.map(() => 'x'.repeat(random(200)))
      for (let attempt = 1; !this.#isOver; attempt++) {
        if (await this.#push(producer % this.#servers.count, items, fillers, attempt)) break
        await delay(20 + random(100))
      }
      await delay(20 + random(120))
    }
  }

  async #push (server: number, items: Item[], fillers: string[], attempt: number): Promise<boolean> {
    const { call, answer } = await this.#caller.call('push', server, '/api/v1/push', {
      items: items.map(({ sequence, ...item }, i) => ({ ...item, payload: { attempt, sequence, filler: fillers[i] ?? '' } satisfies Payload }))
    })
    const isStored = answer?.status === 201
    const results: { status: string, message_id?: string }[] = isStored ? answer.json : []
    this.#journal.pushes.push({ call, attempt, items, results: results.map(result => ({ status: result.status, messageId: result.message_id ?? null })) })
    return isStored
  }

  async #consume (queue: string, group: string, random: Random): Promise<void> {
    while (!this.#isOver) {
      const messages = await this.#pop(queue, group, random)
      // This one dies with its lease; another takes its place.
      if (messages.length === 0 || this.#isDying(random)) continue
      // Or says nothing about the rest.
      const spoken = this.#isDying(random) ? messages.slice(0, random(messages.length)) : messages
      const words = spoken.map(message => ({ message, status: this.#judge(message, random) }))
      for (let server = this.#any(random); words.length > 0 && !this.#isOver; server = this.#any(random)) {
        const { call, answer } = await this.#caller.call('ack', server, '/api/v1/ack/batch', {
          consumerGroup: group,
          acknowledgments: words.map(({ message: { transactionId, partitionId, leaseId }, status }) => ({ transactionId, partitionId, leaseId, status }))
        })
        const isAnswered = answer?.status === 200
        const results: { success: boolean, error: string | null }[] = isAnswered ? answer.json : []
        this.#journal.acks.push({ call, group, words, results })
        for (const { error } of results) if (error !== null && !REFUSALS.test(error)) this.#journal.oddities.push(`ack: ${error}`)
        if (isAnswered) break
        await delay(20 + random(100))
      }
    }
  }

  /** Nobody dies near the end: the rest would have to wait for the lease. */
  #isDying (random: Random): boolean {
    return random(100) < DYING && this.#isProducing
  }

  #judge ({ deliveryCount }: Delivered, random: Random): string {
    if (deliveryCount > 1) return 'completed'
    const lot = random(100)
    return lot < FAILING ? 'failed' : lot < FAILING + REPEATING ? 'retry' : 'completed'
  }

  async #transact (worker: number, random: Random): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      const sources = await this.#pop(SOURCES, WORKERS, random)
      if (sources.length === 0 || this.#isDying(random)) continue
      for (let attempt = 1; !this.#isOver; attempt++) {
        const pairs = sources.map((source, i) => ({
          source,
          target: { queue: RESULTS, partition: source.partition, transactionId: `${worker}-${n}-${i} try ${attempt}`, sequence: 0 }
        }))
        const { call, answer } = await this.#caller.call('transaction', this.#any(random), '/api/v1/transaction', {
          operations: [
            ...pairs.map(({ source: { transactionId, partitionId, leaseId } }) => ({ type: 'ack', transactionId, partitionId, leaseId, consumerGroup: WORKERS })),
            { type: 'push', items: pairs.map(({ source, target: { sequence, ...item } }) => ({ ...item, payload: { attempt: 0, sequence, source: keyOf(source), filler: '' } satisfies Payload })) }
          ]
        })
        const success: boolean | null = answer?.status === 200 ? answer.json.success : null
        this.#journal.transactions.push({ call, group: WORKERS, pairs, success })
        if (success === false && !REFUSALS.test(answer?.json.error)) this.#journal.oddities.push(`transaction: ${answer?.text}`)
        if (success !== null) break
        await delay(20 + random(100))
      }
    }
  }

  async #pop (queue: string, group: string, random: Random): Promise<Delivered[]> {
    const path = `/api/v1/pop/queue/${queue}?wait=true&timeout=${POLL_MS}&batch=${1 + random(30)}&partitions=${1 + random(3)}&consumerGroup=${group}`
    const { call, answer } = await this.#caller.call('pop', this.#any(random), path)
    const messages: Delivered[] = answer?.status === 200 ? answer.json.messages : []
    if (messages.length > 0) this.#journal.deliveries.push({ call, group, messages })
    else if (answer === null) await delay(50)
    return messages
  }

  /** A server that can be reached, where there is one. */
  #any (random: Random): number {
    const up = Array.from({ length: this.#servers.count }, (_, i) => i).filter(server => this.#servers.url(server) !== null)
    return up[random(Math.max(up.length, 1))] ?? 0
  }
}

const REFUSALS = /Invalid or expired lease|already acknowledged/
