import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { RawClient } from '../fault/raw-client.ts'
import type { RawReply } from '../fault/raw-client.ts'
import type { Item, Journal, Payload } from '../fault/suite/journal.ts'
import { ServedConnection } from './connections.ts'

const PAUSE_MS = 20
const MOST_ITEMS = 5

export interface ProducerOptions {
  t: Test
  journal: Journal
  /** Where the server can be reached now; null: nowhere. */
  url: () => string | null
  queue: string
  partition: string
  /** How many there are, numbered from 1. */
  workers: number
}

/**
 * Sends one push after the other, each to another worker than the one before, and repeats what was not stored. In the
 * journal the number of a worker stands for the server.
 */
export class AlternatingProducer {
  /** The workers that acknowledged, push by push. */
  readonly workers: number[] = []
  readonly #options: ProducerOptions
  readonly #done: Promise<void>
  #client: { url: string, raw: RawClient } | null = null
  #connections: ServedConnection[] = []
  #last = 0
  #isOver = false
  #isGivenUp = false

  constructor (options: ProducerOptions) {
    this.#options = options
    this.#done = this.#run()
    options.t.teardown(() => { this.#isGivenUp = true })
  }

  /** Resolves when the push under way has been taken. */
  async stop (): Promise<void> {
    this.#isOver = true
    await this.#done
  }

  async #run (): Promise<void> {
    const { queue, partition } = this.#options
    for (let sequence = 0; !this.#isOver && !this.#isGivenUp;) {
      const items = Array.from({ length: 1 + sequence % MOST_ITEMS }, (_, i): Item => ({ queue, partition, transactionId: `${partition}-${sequence + i}`, sequence: sequence + i }))
      for (let attempt = 1; !this.#isGivenUp && !await this.#push(items, attempt); attempt++) await delay(PAUSE_MS)
      sequence += items.length
      await delay(PAUSE_MS)
    }
  }

  async #push (items: Item[], attempt: number): Promise<boolean> {
    const { journal } = this.#options
    const connection = await this.#connection()
    if (connection === null) return false
    const call = journal.begin('push', connection.worker)
    const body = { items: items.map(({ sequence, ...item }) => ({ ...item, payload: { attempt, sequence, filler: '' } satisfies Payload })) }
    // Its end is the only thing that can go wrong.
    const answer: RawReply | null = await connection.call('POST', '/api/v1/push', body).catch(() => null)
    journal.end(call, answer === null ? 'closed' : answer.status === 201 ? '201' : `${answer.status} ${answer.json?.code}`)
    const isTaken = answer?.status === 201
    const results: { status: string, message_id?: string }[] = isTaken ? answer.json : []
    journal.pushes.push({ call, attempt, items, results: results.map(({ status, message_id: id }) => ({ status, messageId: id ?? null })) })
    if (!isTaken) return false
    this.#last = connection.worker
    this.workers.push(connection.worker)
    return true
  }

  /** To another worker than the last one; null when the test is over. */
  async #connection (): Promise<ServedConnection | null> {
    while (!this.#isGivenUp) {
      this.#connections = this.#connections.filter(({ connection }) => !connection.isClosed)
      // One try for each push: a worker that is being replaced takes none.
      if (this.#connections.length < this.#options.workers) await this.#open().catch(async () => { await delay(PAUSE_MS) })
      const found = this.#connections.find(({ worker }) => worker !== this.#last)
      if (found !== undefined) {
        // Behind the others: all of them get their turn.
        this.#connections.push(...this.#connections.splice(this.#connections.indexOf(found), 1))
        return found
      }
    }
    return null
  }

  /** Keeps one connection to each worker. */
  async #open (): Promise<void> {
    const url = this.#options.url()
    if (url === null) throw new Error('the server is down')
    if (this.#client?.url !== url) this.#client = { url, raw: new RawClient(this.#options.t, url) }
    const opened = await ServedConnection.open(this.#client.raw)
    if (this.#connections.some(({ worker }) => worker === opened.worker)) opened.connection.leave()
    else this.#connections.push(opened)
  }
}
