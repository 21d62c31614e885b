import type { Pool } from '../database/pool.ts'
import { SEPARATOR, plainArray, textArray } from '../database/literals.ts'
import { Lane } from '../lanes/lane.ts'
import { retryWhileAway } from '../lanes/retry.ts'
import { hashId } from '../log/hash.ts'
import { parseAddress } from '../log/ids.ts'
import type { Scopes } from '../telemetry/scopes.ts'
import { gatherUnits, outcomesOf, packAcks } from './ack-units.ts'
import type { AckOutcome, AckRow, AckUnit, Placed } from './ack-units.ts'
import type { Deliveries } from './deliveries.ts'
import type { Acknowledgement, AckResult, Available } from './types.ts'

export interface AckOptions {
  pool: Pool
  deliveries: Deliveries
  scopes: Scopes | null
  onAvailable: (events: Available[]) => void
}

export const NOT_FOUND = 'Message not found'
export const NO_LEASE = 'Invalid or expired lease'
export const ALREADY = 'Message already acknowledged'
const ERROR_TEXTS: Record<AckOutcome, string | null> = {
  done: null,
  again: null,
  dead: null,
  lease: NO_LEASE,
  already: ALREADY,
  no_dead_letters: 'Queue keeps no dead letters',
  unknown_group: 'Message was not delivered to this consumer group'
}

/** Words about one partition for one group that this process does not know from its deliveries. */
interface Missing { partitionId: number, group: string, indexes: number[], ids: string[] }

/** The ack lane: concurrent acknowledgements become one call, and one update per (partition, group). */
export class Ack {
  readonly #pool: Pool
  readonly #deliveries: Deliveries
  readonly #onAvailable: (events: Available[]) => void
  readonly lane: Lane<Acknowledgement[], AckResult[]>

  constructor ({ pool, deliveries, scopes, onAvailable }: AckOptions) {
    this.#pool = pool
    this.#deliveries = deliveries
    this.#onAvailable = onAvailable
    this.lane = new Lane({
      run: async requests => await retryWhileAway(async () => await this.#run(requests), {
        // Completing is idempotent. A repeated failure would count twice, or be answered as refused though it counted.
        afterUnknown: requests.every(acks => acks.every(ack => ack.status === 'completed'))
      }),
      scopes,
      maxCalls: 4,
      maxItems: 10_000,
      maxBytes: 4 * 1024 * 1024,
      maxWaiting: 20_000,
      maxWaitingBytes: 64 * 1024 * 1024
    })
  }

  /** Acknowledge messages; a result for each, in order. Throws what the lane and the pool throw. */
  async ack (acks: readonly Acknowledgement[]): Promise<AckResult[]> {
    if (acks.length === 0) return []
    const bytes = acks.reduce((sum, ack) => sum + ack.transactionId.length + ack.error.length + 100, 0)
    return await this.lane.submit([...acks], [], acks.length, bytes)
  }

  /**
   * Find where acknowledged messages stand: in what this process has delivered, else in the database.
   * @param lengths how many of them each caller sent; one caller's words about one id are about different messages
   * @returns one entry per acknowledgement, null where there is no such message
   */
  async place (acks: readonly Acknowledgement[], lengths: readonly number[] = [acks.length]): Promise<(Placed | null)[]> {
    const placed: (Placed | null)[] = new Array<Placed | null>(acks.length).fill(null)
    const missing = new Map<string, Missing>()
    let from = 0
    for (const length of lengths) {
      this.#placeWords(acks, from, from + length, placed, missing)
      from += length
    }
    if (missing.size > 0) await this.#findInDatabase([...missing.values()], acks, placed)
    return placed
  }

  /** Place what one caller sent: acks[from] up to before acks[to]. */
  #placeWords (acks: readonly Acknowledgement[], from: number, to: number, placed: (Placed | null)[], missing: Map<string, Missing>): void {
    const stretches = stretchesOf(acks, from, to)
    // A delivery is mostly acknowledged as it came. That one id is there twice matters only to who comes back to it.
    const isInOrder = new Set(stretches.map(({ key }) => key)).size === stretches.length
    const repeats = new Map<readonly number[], number>()
    for (const stretch of stretches) {
      const { partitionId, lease } = stretch
      if (partitionId === undefined) continue
      if (isInOrder && lease !== null && this.#placeInOrder(acks, stretch, partitionId, lease, placed)) continue
      const delivered = lease === null ? null : this.#deliveries.positions(lease, partitionId)
      for (let i = stretch.from; i < stretch.to; i++) {
        const ack = acks[i]
        if (ack === undefined) continue
        const idText = JSON.stringify(ack.transactionId)
        const position = delivered?.get(idText)
        if (position !== undefined) {
          placed[i] = { ack, partitionId, position: typeof position === 'number' ? position : nextOf(position, repeats) }
          continue
        }
        const key = `${partitionId}\0${ack.group}`
        let unit = missing.get(key)
        if (unit === undefined) {
          unit = { partitionId, group: ack.group, indexes: [], ids: [] }
          missing.set(key, unit)
        }
        unit.indexes.push(i)
        unit.ids.push(idText)
      }
    }
  }

  /** Whether these words are about the first messages of their delivery, one by one; then they are placed. */
  #placeInOrder (acks: readonly Acknowledgement[], { from, to }: Stretch, partitionId: number, lease: string, placed: (Placed | null)[]): boolean {
    const messages = this.#deliveries.inOrder(lease, partitionId)
    if (messages === null) return false
    for (let i = from; i < to; i++) {
      const ack = acks[i]
      const position = ack === undefined ? null : messages.next(ack.transactionId)
      if (ack === undefined || position === null) {
        placed.fill(null, from, i)
        return false
      }
      placed[i] = { ack, partitionId, position }
    }
    return true
  }

  async #findInDatabase (units: Missing[],
    acks: readonly Acknowledgement[], placed: (Placed | null)[]): Promise<void> {
    const order = units.flatMap(unit => unit.indexes.map(index => ({ index, partitionId: unit.partitionId })))
    const rows = await this.#pool.call<{ ord: number, position: string }>((sql, schema) => sql`
      select * from ${schema}.find_positions_v1(${plainArray(units.map(unit => unit.partitionId))}::text::bigint[],
        ${textArray(units.map(unit => unit.group))}::text::text[], ${plainArray(units.map(unit => unit.ids.length))}::text::int[],
        ${plainArray(order.map(({ index }) => hashId(acks[index]?.transactionId ?? '')))}::text::bigint[],
        ${units.flatMap(unit => unit.ids).join(SEPARATOR)})`)
    for (const row of rows) {
      const found = order[row.ord - 1]
      const ack = found === undefined ? undefined : acks[found.index]
      if (found !== undefined && ack !== undefined) {
        placed[found.index] = { ack, partitionId: found.partitionId, position: Number(row.position) }
      }
    }
    // The second word about one message: there was no further message with its id.
    for (const { ids, indexes } of units) {
      const firstOf = new Map<string, Placed>()
      for (const [k, index] of indexes.entries()) {
        const word = placed[index] ?? null
        const ack = acks[index]
        const idText = ids[k] ?? ''
        const earlier = firstOf.get(idText)
        if (word !== null) firstOf.set(idText, word)
        else if (earlier !== undefined && ack !== undefined) placed[index] = { ack, partitionId: earlier.partitionId, position: earlier.position }
      }
    }
  }

  async #run (requests: Acknowledgement[][]): Promise<AckResult[][]> {
    const acks = requests.flat()
    const placed = await this.place(acks, requests.map(request => request.length))
    const units = gatherUnits(placed.filter(word => word !== null && word.ack.status !== null) as Placed[], ack => ack.leaseId)
    const rows = units.length === 0 ? [] : await this.#call(units)
    const results = await this.#named(acks, settleAcks(acks, placed, units, rows))
    this.afterwards(units, rows)
    let taken = 0
    return requests.map(request => {
      taken += request.length
      return results.slice(taken - request.length, taken)
    })
  }

  /** Results of words that went no further, because of their message or themselves, with the names of their partitions. */
  async #named (acks: readonly Acknowledgement[], results: AckResult[]): Promise<AckResult[]> {
    if (results.every(({ queue }) => queue !== null)) return results
    const nameless = results.flatMap((result, i) => {
      const partitionId = result.queue === null ? parseAddress(acks[i]?.partitionId ?? '')?.partition : undefined
      return partitionId === undefined ? [] : [{ i, result, partitionId, group: acks[i]?.group ?? '' }]
    })
    if (nameless.length === 0) return results
    const rows = await this.#pool.call<{ idx: number, queue: string, partition: string, has_cursor: boolean }>((sql, schema) => sql`
      select * from ${schema}.name_partitions_v1(${plainArray(nameless.map(({ partitionId }) => partitionId))}::text::bigint[],
        ${textArray(nameless.map(({ group }) => group))}::text::text[])`)
    const named = [...results]
    for (const { idx, queue, partition, has_cursor: hasCursor } of rows) {
      const found = nameless[idx - 1]
      if (found !== undefined) named[found.i] = { ...found.result, queue, partition, leaseReleased: hasCursor ? false : null }
    }
    return named
  }

  /** What follows from acknowledged units: leases to forget, and messages that can be had again. */
  afterwards (units: readonly AckUnit[], rows: readonly AckRow[]): void {
    const events: Available[] = []
    for (const row of rows) {
      const unit = units[row.unit - 1]
      if (unit === undefined || row.queue === null) continue
      if (row.released) for (const lease of unit.leases?.split(',') ?? []) this.#deliveries.forget(lease, unit.partitionId)
      if (row.available_ms !== null) {
        events.push({ queue: row.queue, namespace: row.namespace, task: row.task, partition: row.partition, group: unit.group })
      }
    }
    if (events.length > 0) this.#onAvailable(events)
  }

  async #call (units: AckUnit[]): Promise<AckRow[]> {
    const a = packAcks(units)
    return await this.#pool.call<AckRow & Record<string, unknown>>((sql, schema) => sql`
      select * from ${schema}.ack_v1(${a.partitions}::text::bigint[], ${a.groups}::text::text[], ${a.leases}::text::text[],
        ${a.ranges}::text::int[], ${a.from}::text::bigint[], ${a.to}::text::bigint[], ${a.others}::text::int[],
        ${a.positions}::text::bigint[], ${a.kinds}::text::text[], ${a.errors})`, undefined, 'ack')
  }
}

/** Neighbours that are about one partition under one lease. */
interface Stretch { key: string, partitionId: number | undefined, lease: string | null, from: number, to: number }

function stretchesOf (acks: readonly Acknowledgement[], from: number, to: number): Stretch[] {
  const stretches: Stretch[] = []
  let address: string | undefined
  let last: Stretch | undefined
  for (let i = from; i < to; i++) {
    const ack = acks[i]
    if (ack === undefined) continue
    if (last === undefined || ack.partitionId !== address || ack.leaseId !== last.lease) {
      address = ack.partitionId
      last = { key: `${address}\0${ack.leaseId}`, partitionId: parseAddress(address)?.partition, lease: ack.leaseId, from: i, to: i }
      stretches.push(last)
    }
    last.to = i + 1
  }
  return stretches
}

/** The k-th word about an id is about the k-th message with it; further ones repeat the last. */
function nextOf (positions: readonly number[], repeats: Map<readonly number[], number>): number {
  const k = repeats.get(positions) ?? 0
  repeats.set(positions, k + 1)
  return positions[Math.min(k, positions.length - 1)] ?? 0
}

/** The result of each acknowledgement, in order. */
export function settleAcks (acks: readonly Acknowledgement[], placed: readonly (Placed | null)[],
  units: readonly AckUnit[], rows: readonly AckRow[]): AckResult[] {
  const settled = new Map<AckUnit, { row: AckRow, outcomes: Map<number, AckOutcome> }>()
  for (const row of rows) {
    const unit = units[row.unit - 1]
    if (unit !== undefined) settled.set(unit, { row, outcomes: outcomesOf(unit, row) })
  }
  return acks.map((ack, i) => {
    const word = placed[i] ?? null
    if (word === null) return resultOf(ack, null, NOT_FOUND, null)
    // A second word about a message under the same lease is in the same unit and shares the first one's result.
    const answer = word.unit === undefined ? undefined : settled.get(word.unit)
    const outcome = answer?.outcomes.get(word.position)
    if (answer === undefined || outcome === undefined) return resultOf(ack, null, null, null)
    // Remembered here, but its queue has been deleted meanwhile.
    return resultOf(ack, outcome, answer.row.queue === null ? NOT_FOUND : ERROR_TEXTS[outcome], answer.row)
  })
}

function resultOf (ack: Acknowledgement, outcome: AckOutcome | null, error: string | null, row: AckRow | null): AckResult {
  return {
    transactionId: ack.transactionId,
    success: outcome === 'done' || outcome === 'again' || outcome === 'dead',
    error,
    queue: row?.queue ?? null,
    partition: row?.partition ?? null,
    leaseReleased: row === null || !row.known ? null : row.released,
    dlq: outcome === 'dead'
  }
}
