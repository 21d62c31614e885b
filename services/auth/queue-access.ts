import type { Pool } from '../database/pool.ts'
import { RegentError } from '../errors.ts'
import type { Caller } from './caller.ts'
import { QueueNames } from './queue-names.ts'

/**
 * Refuses callers the queues that they are not limited to; null is a caller without limits. What is not there is refused
 * like what belongs to others: the answer does not tell which. Everything throws RGT_QUEUE_FORBIDDEN with the field at fault.
 */
export class QueueAccess {
  readonly #names: QueueNames

  constructor (pool: Pool) {
    this.#names = new QueueNames(pool)
  }

  checkQueue (caller: Caller | null, queue: string, field: string): void {
    if (!this.isOpenTo(caller, queue)) throw forbidden(field)
  }

  isOpenTo (caller: Caller | null, queue: string): boolean {
    return caller?.queues?.fit(queue) !== false
  }

  /** The queues of many things at once, such as messages to push, most of which are for the same one as the one before. */
  checkQueues (caller: Caller | null, items: readonly { queue: string }[], fieldOf: (index: number) => string): void {
    if (caller === null || caller.queues === null) return
    let last: string | null = null
    for (const [i, { queue }] of items.entries()) {
      if (queue !== last && !caller.queues.fit(queue)) throw forbidden(fieldOf(i))
      last = queue
    }
  }

  /** Ids of partitions or messages; a text that is none stands for nothing. Throws what Pool.call throws besides. */
  async checkPartitions (caller: Caller | null, ids: readonly string[], fieldOf: (index: number) => string): Promise<void> {
    if (isLimited(caller)) this.#check(caller, await this.#names.ofPartitions(ids), fieldOf)
  }

  /** Ids of leases, as above. */
  async checkLeases (caller: Caller | null, ids: readonly string[], fieldOf: (index: number) => string): Promise<void> {
    if (isLimited(caller)) this.#check(caller, await this.#names.ofLeases(ids), fieldOf)
  }

  /** Numbers of dead letters, as above. */
  async checkDeadLetters (caller: Caller | null, ids: readonly string[], fieldOf: (index: number) => string): Promise<void> {
    if (isLimited(caller)) this.#check(caller, await this.#names.ofDeadLetters(ids), fieldOf)
  }

  #check (caller: Caller, queues: readonly (string | null | undefined)[], fieldOf: (index: number) => string): void {
    for (const [i, queue] of queues.entries()) {
      if (queue === null) throw forbidden(fieldOf(i))
      if (queue !== undefined) this.checkQueue(caller, queue, fieldOf(i))
    }
  }
}

function isLimited (caller: Caller | null): caller is Caller {
  return caller !== null && caller.queues !== null
}

function forbidden (field: string): RegentError {
  return new RegentError('RGT_QUEUE_FORBIDDEN', { detail: field, field })
}
