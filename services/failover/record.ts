import { openLine, isSealed } from '../encryption/sealed-line.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { hasCode } from '../errors.ts'
import { partitionKey } from '../queue/partition-directory.ts'
import { prepared } from '../queue/outgoing.ts'
import type { Outgoing } from '../queue/outgoing.ts'

/**
 * What a record of the file buffer holds: the messages of one push, as UTF-8 text. Its first line is a head that says which
 * of the lines behind it belong to which partition; those are messages as they are stored (services/log/line.ts), sealed
 * where their queue encrypts.
 */
interface Head {
  v: typeof VERSION
  /** How long before it was written its push had been accepted, in milliseconds: by then it may have been stored. */
  heldMs: number
  partitions: PartitionLines[]
}

/** Sealed for good: its queue encrypts. Otherwise a sealed line may be one that was sealed to be on the safe side. */
type PartitionLines = [queue: string, partition: string, messages: number, isSealedForGood: boolean]

export interface RecordOptions {
  /** Whether a queue encrypts; null: that is not known. */
  encrypts: (queue: string) => boolean | null
  /** The line that is written for a message. */
  lineOf: (outgoing: Outgoing) => string
}

const VERSION = 1

/** What is wrong with a record that no version of this service has written so. */
export class RecordError extends Error {}

/** The record of some messages, and the queues they go to. */
export function encodeRecord (messages: readonly Outgoing[], { encrypts, lineOf }: RecordOptions): { payload: Buffer, queues: string[] } {
  const groups = new Map<string, { queue: string, partition: string, lines: string[] }>()
  for (const outgoing of messages) {
    const { queue, partition } = outgoing
    const key = partitionKey(queue, partition)
    let group = groups.get(key)
    if (group === undefined) groups.set(key, group = { queue, partition, lines: [] })
    group.lines.push(lineOf(outgoing))
  }
  const heldMs = Math.ceil(performance.now() - (messages[0]?.acceptedAt ?? performance.now()))
  const head: Head = { v: VERSION, heldMs, partitions: [...groups.values()].map(({ queue, partition, lines }) => [queue, partition, lines.length, encrypts(queue) === true]) }
  const lines = [...groups.values()].flatMap(group => group.lines)
  return { payload: Buffer.from(`${JSON.stringify(head)}\n${lines.join('\n')}`), queues: [...new Set(head.partitions.map(([queue]) => queue))] }
}

/** Which queues a record is for, and how many messages it has. Throws RecordError. */
export function readHead (payload: Uint8Array): { queues: string[], messages: number } {
  const { partitions } = parseHead(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
  return { queues: [...new Set(partitions.map(([queue]) => queue))], messages: partitions.reduce((sum, [, , count]) => sum + count, 0) }
}

/** The messages of a record, and how long before it was written they had been accepted. Throws RecordError. */
export function decodeRecord (payload: Buffer, keys: KeyRing): { messages: Outgoing[], heldMs: number } {
  const { partitions, heldMs } = parseHead(payload)
  const lines = payload.toString().split('\n')
  const messages: Outgoing[] = []
  let at = 1
  for (const [queue, partition, count, isSealedForGood] of partitions) {
    for (const stored of lines.slice(at, at + count)) {
      const forms = isSealedForGood ? { line: stored, sealed: isSealed(stored) ? stored : null } : opened(keys, queue, partition, stored)
      messages.push(prepared({ queue, partition, ...forms }))
    }
    at += count
  }
  if (at !== lines.length) throw new RecordError('its head does not fit its lines')
  return { messages, heldMs }
}

/** A queue that does not encrypt stores in clear text what was sealed to be on the safe side, if there still is the key. */
function opened (keys: KeyRing, queue: string, partition: string, stored: string): { line: string, sealed: string | null } {
  if (!isSealed(stored)) return { line: stored, sealed: null }
  try {
    return { line: openLine(keys, { queue, partition, id: 'in the file buffer' }, stored), sealed: stored }
  } catch (error) {
    if (!hasCode(error, 'RGT_MESSAGE_UNREADABLE')) throw error
    return { line: stored, sealed: stored }
  }
}

function parseHead (payload: Buffer): Head {
  const end = payload.indexOf('\n')
  try {
    const head = JSON.parse(payload.toString('utf8', 0, Math.max(end, 0))) as Partial<Head> | null
    if (head?.v === VERSION && typeof head.heldMs === 'number' && Array.isArray(head.partitions)) return head as Head
  } catch {
    // No JSON is no record of ours either.
  }
  throw new RecordError('it is not a record of this version')
}
