import type { Pool } from '../database/pool.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { Lane } from '../lanes/lane.ts'
import { retryWhileAway } from '../lanes/retry.ts'
import { RegentError } from '../errors.ts'
import { Appender } from './append.ts'
import { prepare } from './outgoing.ts'
import type { Outgoing } from './outgoing.ts'
import { partitionKey } from './partition-directory.ts'
import type { PartitionDirectory } from './partition-directory.ts'
import type { Available, NewMessage, PushResult } from './types.ts'

export interface PushOptions {
  pool: Pool
  directory: PartitionDirectory
  keys: KeyRing
  onAvailable: (events: Available[]) => void
}

/** The push lane: concurrent pushes become one call, and one segment per partition. */
export class Push {
  readonly #appender: Appender
  readonly #onAvailable: (events: Available[]) => void
  readonly lane: Lane<Outgoing[], PushResult[]>

  constructor ({ pool, directory, keys, onAvailable }: PushOptions) {
    this.#appender = new Appender(pool, directory, keys)
    this.#onAvailable = onAvailable
    this.lane = new Lane({
      run: async requests => await this.#run(requests),
      maxCalls: 4,
      maxItems: 5000,
      maxBytes: 4 * 1024 * 1024,
      maxWaiting: 20_000,
      maxWaitingBytes: 256 * 1024 * 1024
    })
  }

  /**
   * Store messages; resolves once they are committed, with a result per message in order.
   * @param producerSub verified identity of the producer, or null
   * @throws RegentError of a queue that is full or that there is no key for, of the database being away, slow, unknown
   *   in its outcome, or of overload
   */
  async push (messages: readonly NewMessage[], producerSub: string | null): Promise<PushResult[]> {
    if (messages.length === 0) return []
    const outgoing = prepare(messages, producerSub)
    const keys = new Set(messages.map(({ queue, partition }) => partitionKey(queue, partition)))
    const bytes = outgoing.reduce((sum, { line }) => sum + line.length, 0)
    return await this.lane.submit(outgoing, [...keys], messages.length, bytes)
  }

  async #run (requests: Outgoing[][]): Promise<PushResult[][]> {
    const messages = requests.flat()
    await retryWhileAway(async () => { await this.#appender.append(messages) }, {
      afterUnknown: () => messages.every(outgoing => outgoing.isRecognisable)
    })
    this.#onAvailable(availableAfter(messages))
    return requests.map(request => request.map(resultOf))
  }
}

/** What became available through these messages: each partition that was written to, once. */
export function availableAfter (messages: readonly Outgoing[]): Available[] {
  const written = new Set(messages.map(outgoing => outgoing.writtenTo).filter(entry => entry !== null))
  return [...written].map(({ queue, partition, namespace, task }) => ({ queue, partition, namespace, task, group: null }))
}

/** The result of a message that has been appended. */
export function resultOf (outgoing: Outgoing): PushResult {
  if (outgoing.result === null) throw new RegentError('RGT_INTERNAL')
  return outgoing.result
}
