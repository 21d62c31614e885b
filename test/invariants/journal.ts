import type { Service } from '../support.ts'
import { until } from '../support.ts'
import { ack, addressOf, pick, pop } from './support.ts'
import type { Message } from './support.ts'

interface Sent { messageId: string, client: string, sequence: number }

/**
 * What was pushed, what was delivered, and whether the two agree. A journal is of one run in one process, so the order
 * in which it hears of deliveries of a partition is the order in which they were made: a partition's next messages are
 * given out only after the acknowledgement of the ones before was sent.
 */
export class Journal {
  readonly #sent = new Map<string, Sent>()
  readonly #delivered = new Map<string, Message[]>()
  readonly #acked = new Map<string, Set<string>>()

  get sentCount (): number {
    return this.#sent.size
  }

  deliveredCount (group: string): number {
    return this.#delivered.get(group)?.length ?? 0
  }

  /** A push was answered: this message was stored under this id. `sequence` grows with every message of a client. */
  sent (transactionId: string, messageId: string, client: string, sequence: number): void {
    if (this.#sent.has(transactionId)) throw new Error(`sent twice: ${transactionId}`)
    this.#sent.set(transactionId, { messageId, client, sequence })
  }

  delivered (group: string, messages: readonly Message[]): void {
    const known = this.#delivered.get(group)
    if (known === undefined) this.#delivered.set(group, [...messages])
    else known.push(...messages)
  }

  acked (group: string, messages: readonly Message[]): void {
    const known = this.#acked.get(group) ?? new Set()
    this.#acked.set(group, known)
    for (const { id } of messages) known.add(id)
  }

  /**
   * Everything sent came to the group exactly once, in position order without gaps within each partition, and in the
   * order of each client's pushes. Returns what is wrong, at most a few lines.
   */
  faults (group: string): string[] {
    const faults: string[] = []
    const ids = new Set<string>()
    const positions = new Map<number, number>()
    const sequences = new Map<string, number>()
    for (const message of this.#delivered.get(group) ?? []) {
      const { partition, position } = addressOf(message.id)
      const sent = this.#sent.get(message.transactionId)
      if (ids.has(message.transactionId)) faults.push(`${message.transactionId} was delivered twice`)
      ids.add(message.transactionId)
      const last = positions.get(partition) ?? 0
      if (position !== last + 1) faults.push(`partition ${partition}: position ${position} came after ${last}`)
      positions.set(partition, position)
      if (sent === undefined) {
        faults.push(`${message.transactionId} was never answered as stored`)
        continue
      }
      if (sent.messageId !== message.id) faults.push(`${message.transactionId} was stored as ${sent.messageId} and came as ${message.id}`)
      const key = `${sent.client} ${partition}`
      const before = sequences.get(key) ?? -1
      if (sent.sequence <= before) faults.push(`${sent.client}, partition ${partition}: ${sent.sequence} came after ${before}`)
      sequences.set(key, sent.sequence)
    }
    for (const id of this.#sent.keys()) if (!ids.has(id)) faults.push(`${id} was not delivered`)
    const acked = this.#acked.get(group)?.size ?? 0
    if (acked !== this.#sent.size) faults.push(`${acked} of ${this.#sent.size} were acknowledged`)
    return faults.slice(0, 10)
  }
}

export interface ReaderOptions {
  instances: Service[]
  queue: string
  journal: Journal
  /** Empty: queue mode. */
  group?: string
  readers?: number
  batch?: number
  partitions?: number
}

export interface Readers {
  /** Wait until so many messages were delivered to the group and acknowledged; throws what a reader threw. */
  until: (count: () => number, timeoutMs?: number) => Promise<void>
  stop: () => Promise<void>
}

/**
 * Readers that long-poll in turn on the instances and acknowledge as fast as they can, every other time through another
 * instance than the one that delivered. Their polls outlast every deadline of a test: a reader that is not woken hangs.
 */
export function startReaders ({ instances, queue, journal, group = '', readers = 4, batch = 50, partitions = 4 }: ReaderOptions): Readers {
  const stopped = new AbortController()
  const path = `${queue}?wait=true&timeout=60000&batch=${batch}&partitions=${partitions}&consumerGroup=${group}`
  let failure: unknown
  let acked = 0
  const read = async (reader: number): Promise<void> => {
    for (let turn = reader; !stopped.signal.aborted; turn++) {
      const messages = await pop(pick(instances, reader), path, { signal: stopped.signal })
      journal.delivered(group, messages)
      const answers = await ack(pick(instances, turn), messages, group)
      const refused = answers.find(answer => !answer.success)
      if (refused !== undefined) throw new Error(`not acknowledged: ${JSON.stringify(refused)}`)
      journal.acked(group, messages)
      acked += messages.length
    }
  }
  const running = Array.from({ length: readers }, async (_, reader) => {
    try {
      await read(reader)
    } catch (error) {
      if (!stopped.signal.aborted) failure ??= error
    }
  })
  return {
    until: async (count, timeoutMs = 30_000) => {
      await until(() => {
        if (failure !== undefined) throw failure
        return acked >= count()
      }, timeoutMs).catch((error: unknown) => {
        throw failure ?? new Error(`${acked} of ${count()} messages were acknowledged`, { cause: error })
      })
    },
    stop: async () => {
      stopped.abort()
      await Promise.all(running)
      if (failure !== undefined) throw failure
    }
  }
}
