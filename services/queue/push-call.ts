import type { Sql } from 'postgres'
import { SEPARATOR, plainArray } from '../database/literals.ts'
import type { Outgoing } from './outgoing.ts'
import type { PartitionEntry } from './partition-directory.ts'

/** What push_v2 says about one partition. */
export interface PushRow {
  idx: number
  outcome: 'ok' | 'conflict' | 'gone' | 'full'
  base: string
  at_ms: number
  /** Segments the caller did not know; with `full` the name of the queue that is. */
  foreign_tx: string | null
  /** False: others wrote so much that it was checked but not handed over; the window has a hole. */
  complete: boolean
}

/**
 * One partition of a push call: what goes into it, the lines as they are stored, and up to which position these messages
 * were checked for duplicates (or one of the two below). That is not the window's own position: another call may have taken it further meanwhile.
 */
export interface PushPart { entry: PartitionEntry, messages: Outgoing[], lines: string[], known: number }

/** The arguments of push_v2, as texts to be cast. */
export interface PushArguments {
  limited: string
  adds: string
  partitions: string
  versions: string
  known: string
  windows: string
  segments: string
  counts: string
  tx: string
  bodies: string
}

// Segments are capped so that cutting one message out of one stays cheap, and a compressed body fits its page.
// 16 to 1000 messages were measured; see docs/architecture.md.
const SEGMENT_MESSAGES = 250
const SEGMENT_CHARACTERS = 64 * 1024
const CHECK_IN_DATABASE = -1
const CHECK_NOTHING = -2

/** Pack messages into segments and those into arguments. `parts` must be in ascending order of partition id. */
export function packPush (parts: readonly PushPart[]): PushArguments {
  const counts: number[] = []
  const segments: number[] = []
  // Lines and what stands between them, put together once: they are most of what a push has to copy.
  const bodies: string[] = []
  const tx: number[] = []
  for (const { messages, lines } of parts) {
    const before = counts.length
    let count = 0
    let size = 0
    for (const line of lines) {
      if (count > 0 && (count >= SEGMENT_MESSAGES || size + line.length > SEGMENT_CHARACTERS)) {
        counts.push(count)
        count = 0
        size = 0
      }
      if (bodies.length > 0) bodies.push(count === 0 ? SEPARATOR : '\n')
      bodies.push(line)
      count++
      size += line.length
    }
    for (const { hash } of messages) tx.push(hash)
    counts.push(count)
    segments.push(counts.length - before)
  }
  const limited = limitedQueues(parts)
  return {
    limited: plainArray(limited.map(queue => queue.id)),
    adds: plainArray(limited.map(queue => queue.adds)),
    partitions: plainArray(parts.map(part => part.entry.id)),
    versions: plainArray(parts.map(part => part.entry.pushVersion)),
    known: plainArray(parts.map(part => part.known)),
    windows: plainArray(parts.map(part => part.entry.reachSeconds)),
    segments: plainArray(segments),
    counts: plainArray(counts),
    tx: plainArray(tx),
    bodies: bodies.join('')
  }
}

/** Up to where messages have been checked that are looked for in the entry's window now; `checkedTo` when it has none. */
export function knownNow (entry: PartitionEntry, checkedTo: number | undefined): number {
  if (entry.windowSeconds === 0) return CHECK_NOTHING
  return entry.window?.known ?? checkedTo ?? CHECK_IN_DATABASE
}

/** How much comes to each queue whose size is limited, in the order in which the queues are locked. */
function limitedQueues (parts: readonly PushPart[]): { id: number, adds: number }[] {
  const queues = new Map<number, { id: number, adds: number }>()
  for (const { entry, messages } of parts) {
    if (entry.maxSize === 0) continue
    const queue = queues.get(entry.queueId)
    if (queue === undefined) queues.set(entry.queueId, { id: entry.queueId, adds: messages.length })
    else queue.adds += messages.length
  }
  return [...queues.values()].sort((a, b) => a.id - b.id)
}

/** The arguments as a fragment of a statement that calls push_v2, or a function that hands them on to it. */
export function pushArguments (sql: Sql, a: PushArguments) {
  return sql`${a.limited}::text::bigint[], ${a.adds}::text::int[], ${a.partitions}::text::bigint[],
    ${a.versions}::text::int[], ${a.known}::text::bigint[], ${a.windows}::text::int[], ${a.segments}::text::int[],
    ${a.counts}::text::int[], ${a.tx}::text::bigint[], ${a.bodies}`
}
