import { SEPARATOR, plainArray, textArray } from '../database/literals.ts'
import type { Acknowledgement } from './types.ts'
import { isIn, parseRanges } from './messages-in.ts'

/** An acknowledgement whose message has been found; `unit` is the one it was gathered into. */
export interface Placed { ack: Acknowledgement, partitionId: number, position: number, unit?: AckUnit }

/** What one caller says about one (partition, group) under one lease. */
export interface AckUnit {
  partitionId: number
  group: string
  /** Leases any of which must be live, comma-separated; null: none claimed. */
  leases: string | null
  /** By position; of several words about one message the first counts. */
  words: Map<number, Placed>
}

/** What ack_v1 says about one unit. */
export interface AckRow {
  unit: number
  known: boolean
  queue: string | null
  namespace: string
  task: string
  partition: string | null
  lease_ok: boolean
  committed: string
  acked: string | null
  last_position: string
  released: boolean
  available_ms: number | null
  outcomes: string
}

export type AckOutcome = 'done' | 'again' | 'dead' | 'lease' | 'already' | 'no_dead_letters' | 'unknown_group'

/** The arguments of ack_v1, as texts to be cast. */
export interface AckArguments {
  partitions: string
  groups: string
  leases: string
  ranges: string
  from: string
  to: string
  others: string
  positions: string
  kinds: string
  errors: string
}

/**
 * Gather acknowledgements into units, in the order in which their cursors are locked.
 * @param leasesOf the leases an acknowledgement may rest on
 */
export function gatherUnits (placed: Iterable<Placed>, leasesOf: (ack: Acknowledgement) => string | null): AckUnit[] {
  const units = new Map<string, AckUnit>()
  let last: AckUnit | undefined
  for (const word of placed) {
    const leases = leasesOf(word.ack)
    // A batch is mostly one unit: do not build its key for every word.
    if (last !== undefined && last.partitionId === word.partitionId && last.group === word.ack.group && last.leases === leases) {
      enter(last, word)
      continue
    }
    const key = `${word.partitionId}\0${word.ack.group}\0${leases ?? ''}`
    let unit = units.get(key)
    if (unit === undefined) {
      unit = { partitionId: word.partitionId, group: word.ack.group, leases, words: new Map() }
      units.set(key, unit)
    }
    enter(unit, word)
    last = unit
  }
  return [...units.values()].sort((a, b) => a.partitionId - b.partitionId || (a.group < b.group ? -1 : a.group > b.group ? 1 : 0))
}

function enter (unit: AckUnit, word: Placed): void {
  word.unit = unit
  if (!unit.words.has(word.position)) unit.words.set(word.position, word)
}

/** Pack units into arguments: completed positions as ranges, the others one by one. */
export function packAcks (units: readonly AckUnit[]): AckArguments {
  const ranges: number[] = []
  const from: number[] = []
  const to: number[] = []
  const others: number[] = []
  const positions: number[] = []
  const kinds: string[] = []
  const errors: string[] = []
  for (const { words } of units) {
    const rangesBefore = from.length
    const othersBefore = positions.length
    for (const position of [...words.keys()].sort((a, b) => a - b)) {
      const ack = words.get(position)?.ack
      if (ack === undefined || ack.status === null) continue
      if (ack.status === 'completed') {
        if (from.length > rangesBefore && to.at(-1) === position - 1) to[to.length - 1] = position
        else {
          from.push(position)
          to.push(position)
        }
      } else {
        positions.push(position)
        kinds.push(ack.status)
        errors.push(ack.error.replaceAll(SEPARATOR, ' '))
      }
    }
    ranges.push(from.length - rangesBefore)
    others.push(positions.length - othersBefore)
  }
  return {
    partitions: plainArray(units.map(unit => unit.partitionId)),
    groups: textArray(units.map(unit => unit.group)),
    leases: textArray(units.map(unit => unit.leases)),
    ranges: plainArray(ranges),
    from: plainArray(from),
    to: plainArray(to),
    others: plainArray(others),
    positions: plainArray(positions),
    kinds: plainArray(kinds),
    errors: errors.join(SEPARATOR)
  }
}

const OUTCOMES: Record<string, AckOutcome> = { r: 'again', d: 'dead', a: 'already', l: 'lease', n: 'no_dead_letters' }

/** What became of each position of a unit. Completing what had been acknowledged before is done, whatever the lease. */
export function outcomesOf (unit: AckUnit, row: AckRow): Map<number, AckOutcome> {
  const outcomes = new Map<number, AckOutcome>()
  const committed = Number(row.committed)
  const last = Number(row.last_position)
  const acked = parseRanges(row.acked ?? '')
  let other = 0
  for (const position of [...unit.words.keys()].sort((a, b) => a - b)) {
    const status = unit.words.get(position)?.ack.status
    if (!row.known) outcomes.set(position, 'unknown_group')
    else if (status !== 'completed') outcomes.set(position, OUTCOMES[row.outcomes[other++] ?? ''] ?? 'lease')
    else if (position <= committed || isIn(acked, position)) outcomes.set(position, 'done')
    else outcomes.set(position, row.lease_ok && position <= last ? 'done' : 'lease')
  }
  return outcomes
}
