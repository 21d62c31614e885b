import { codeOf, detailOf } from '../database/faults.ts'
import type { Pool } from '../database/pool.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { retryWhileAway } from '../lanes/retry.ts'
import { Lane } from '../lanes/lane.ts'
import type { Scopes } from '../telemetry/scopes.ts'
import type { Ack } from './ack.ts'
import { ALREADY, NOT_FOUND, NO_LEASE, settleAcks } from './ack.ts'
import { gatherUnits, packAcks } from './ack-units.ts'
import type { AckRow, Placed } from './ack-units.ts'
import { Appender } from './append.ts'
import { prepare } from './outgoing.ts'
import type { PartitionDirectory } from './partition-directory.ts'
import { availableAfter, resultOf } from './push.ts'
import { packPush, pushArguments } from './push-call.ts'
import type { PushRow } from './push-call.ts'
import type { Acknowledgement, AckResult, Available, NewMessage, Origin, StoredMessage } from './types.ts'

export interface TransactionOptions {
  pool: Pool
  directory: PartitionDirectory
  keys: KeyRing
  ack: Ack
  scopes: Scopes | null
  onAvailable: (events: Available[]) => void
}

export interface TransactionInput extends Origin {
  pushes: readonly NewMessage[]
  acks: readonly Acknowledgement[]
  /** Leases the acknowledgements rest on when they name none themselves; empty: no lease is claimed. */
  requiredLeases: readonly string[]
}

/** Either everything happened, or (with the reason) nothing. */
export type TransactionResult =
  | { success: true, pushes: StoredMessage[], acks: AckResult[] }
  | { success: false, error: string, failedAck: number }

/** Thrown inside to leave the append loop: an acknowledgement was refused, so nothing was written. */
class Refused extends Error {
  readonly rows: AckRow[]
  constructor (rows: AckRow[]) {
    super('acknowledgement refused')
    this.rows = rows
  }
}

/** Acknowledgements and pushes as one database transaction, over any number of queues. */
export class Transaction {
  readonly #pool: Pool
  readonly #appender: Appender
  readonly #ack: Ack
  readonly #onAvailable: (events: Available[]) => void
  readonly lane: Lane<TransactionInput, TransactionResult>

  constructor ({ pool, directory, keys, ack, scopes, onAvailable }: TransactionOptions) {
    this.#pool = pool
    this.#appender = new Appender(pool, directory, keys)
    this.#ack = ack
    this.#onAvailable = onAvailable
    this.lane = new Lane({
      run: async inputs => await Promise.all(inputs.map(async input => await this.#run(input))),
      scopes,
      maxCalls: 4,
      maxItems: 1,
      maxBytes: Number.MAX_SAFE_INTEGER,
      maxWaiting: 5000,
      maxWaitingBytes: 256 * 1024 * 1024
    })
  }

  /** Run one transaction. Throws what the lane and the pool throw; then nothing was changed, or the outcome is unknown. */
  async commit (input: TransactionInput): Promise<TransactionResult> {
    const bytes = input.pushes.reduce((sum, { payload }) => sum + payload.length, 0)
    return await this.lane.submit(input, [], 1, bytes)
  }

  async #run ({ pushes, acks, requiredLeases, ...origin }: TransactionInput): Promise<TransactionResult> {
    const unsupported = acks.findIndex(ack => ack.status === null)
    if (unsupported >= 0) return { success: false, error: 'Unknown error', failedAck: unsupported }
    const placed = await retryWhileAway(async () => await this.#ack.place(acks))
    const missing = placed.indexOf(null)
    if (missing >= 0) return { success: false, error: NOT_FOUND, failedAck: missing }

    const shared = requiredLeases.length === 0 ? null : requiredLeases.join(',')
    const units = gatherUnits(placed as Placed[], ack => ack.leaseId ?? shared)
    const outgoing = prepare(pushes, origin)
    let rows: AckRow[] = []
    try {
      // Not repeated after an unknown outcome: were it committed, the leases would be gone and the repeat would be
      // answered as refused. The caller is told that the outcome is unknown.
      await this.#appender.append(outgoing, async parts => {
        const a = packAcks(units)
        try {
          const [row] = await this.#pool.call<{ pushed: PushRow[], acknowledged: AckRow[] }>((sql, schema) => sql`
            select * from ${schema}.transaction_v2(${pushArguments(sql, packPush(parts))},
              ${a.partitions}::text::bigint[], ${a.groups}::text::text[], ${a.leases}::text::text[], ${a.ranges}::text::int[],
              ${a.from}::text::bigint[], ${a.to}::text::bigint[], ${a.others}::text::int[], ${a.positions}::text::bigint[],
              ${a.kinds}::text::text[], ${a.errors})`, undefined, 'transaction')
          rows = row?.acknowledged ?? []
          return row?.pushed ?? []
        } catch (error) {
          if (codeOf(error) === 'RG001') return rowsOf<PushRow>(error).filter(pushed => pushed.outcome !== 'ok')
          if (codeOf(error) === 'RG002') throw new Refused(rowsOf<AckRow>(error))
          throw error
        }
      })
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const failed = settleAcks(acks, placed, units, error.rows)
      const index = failed.findIndex(result => !result.success)
      // Each of them would be a success by itself: they had been acknowledged before.
      const repeated = error.rows.every(row => row.lease_ok) ? ALREADY : NO_LEASE
      return { success: false, error: failed[index]?.error ?? repeated, failedAck: Math.max(index, 0) }
    }
    this.#ack.afterwards(units, rows)
    this.#onAvailable(availableAfter(outgoing))
    return { success: true, pushes: outgoing.map(resultOf), acks: settleAcks(acks, placed, units, rows) }
  }
}

/** The rows a function raised as the DETAIL of its error. */
function rowsOf<T> (error: unknown): T[] {
  return JSON.parse(detailOf(error)) as T[]
}
