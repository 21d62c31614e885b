import { LRUCache } from 'lru-cache'
import { endOfId, transactionIdOf } from '../log/line.ts'
import type { Delivery, Run } from '../poll/types.ts'
import { messagesIn } from './messages-in.ts'

/** Positions by transaction id (as JSON text); several where an id came again after its deduplication window. */
export type Positions = ReadonlyMap<string, number | readonly number[]>

interface Remembered { runs: Run[], positions: Positions | null }

/**
 * What this process has delivered and not seen acknowledged: where the messages of a lease stand, so that an
 * acknowledgement by transaction id needs no look-up. Bounded; what is not here is asked of the database.
 */
export class Deliveries {
  readonly #cache: LRUCache<string, Remembered>

  constructor (budgetBytes: number) {
    this.#cache = new LRUCache({
      maxSize: budgetBytes,
      sizeCalculation: ({ runs }) => runs.reduce((sum, run) => sum + run.body.length, 256)
    })
  }

  /** Keep a delivery until its lease is released. */
  remember ({ leaseId, runs }: Delivery): void {
    if (leaseId === null) return
    const byPartition = new Map<number, Run[]>()
    for (const run of runs) {
      const known = byPartition.get(run.partitionId)
      if (known === undefined) byPartition.set(run.partitionId, [run])
      else known.push(run)
    }
    for (const [partitionId, own] of byPartition) this.#cache.set(keyOf(leaseId, partitionId), { runs: own, positions: null })
  }

  /** The positions of a lease's messages, or null when the lease is not known here. */
  positions (leaseId: string, partitionId: number): Positions | null {
    const delivery = this.#cache.get(keyOf(leaseId, partitionId))
    if (delivery === undefined) return null
    delivery.positions ??= indexOf(delivery.runs)
    return delivery.positions
  }

  /** Goes through a lease's messages in the order of their delivery; null when the lease is not known here, or some of it was skipped. */
  inOrder (leaseId: string, partitionId: number): InOrder | null {
    const delivery = this.#cache.get(keyOf(leaseId, partitionId))
    return delivery === undefined || delivery.runs.some(run => run.skip !== null) ? null : new InOrder(delivery.runs)
  }

  forget (leaseId: string, partitionId: number): void {
    this.#cache.delete(keyOf(leaseId, partitionId))
  }
}

/** A walk through delivered messages that expects to be asked for one after the other: no index is needed for that. */
export class InOrder {
  readonly #runs: readonly Run[]
  #run = 0
  #offset = 0
  #position = 0

  constructor (runs: readonly Run[]) {
    this.#runs = runs
  }

  /** The position of the next message if that is its transaction id; null if not, and when there are no more. */
  next (transactionId: string): number | null {
    const run = this.#runs[this.#run]
    if (run === undefined) return null
    const { body, first } = run
    const end = endOfId(body, this.#offset, transactionId)
    if (end === null) return null
    const position = first + this.#position
    const lineEnd = body.indexOf('\n', end)
    if (lineEnd === -1) {
      this.#run++
      this.#offset = 0
      this.#position = 0
    } else {
      this.#offset = lineEnd + 1
      this.#position++
    }
    return position
  }
}

function keyOf (leaseId: string, partitionId: number): string {
  return `${leaseId}:${partitionId}`
}

function indexOf (runs: Run[]): Positions {
  const positions = new Map<string, number | number[]>()
  for (const run of runs) {
    // What was acknowledged before was not delivered: a word about its id means a later message with the same one.
    for (const { position, line } of messagesIn(run)) {
      const idText = transactionIdOf(line)
      const known = positions.get(idText)
      if (known === undefined) positions.set(idText, position)
      else if (typeof known === 'number') positions.set(idText, [known, position])
      else known.push(position)
    }
  }
  return positions
}
