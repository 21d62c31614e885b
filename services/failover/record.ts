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
  partitions: [queue: string, partition: string, messages: number][]
}

const VERSION = 1

/** What is wrong with a record that no version of this service has written so. */
export class RecordError extends Error {}

/** The record of some messages, and the queues they go to. */
export function encodeRecord (messages: readonly Outgoing[], lineOf: (outgoing: Outgoing) => string): { payload: Buffer, queues: string[] } {
  const groups = new Map<string, { queue: string, partition: string, lines: string[] }>()
  for (const outgoing of messages) {
    const { queue, partition } = outgoing
    const key = partitionKey(queue, partition)
    let group = groups.get(key)
    if (group === undefined) groups.set(key, group = { queue, partition, lines: [] })
    group.lines.push(lineOf(outgoing))
  }
  const head: Head = { v: VERSION, partitions: [...groups.values()].map(({ queue, partition, lines }) => [queue, partition, lines.length]) }
  const lines = [...groups.values()].flatMap(group => group.lines)
  return { payload: Buffer.from(`${JSON.stringify(head)}\n${lines.join('\n')}`), queues: [...new Set(head.partitions.map(([queue]) => queue))] }
}

/** Which queues a record is for, and how many messages it has. Throws RecordError. */
export function readHead (payload: Uint8Array): { queues: string[], messages: number } {
  const { partitions } = parseHead(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
  return { queues: [...new Set(partitions.map(([queue]) => queue))], messages: partitions.reduce((sum, [, , count]) => sum + count, 0) }
}

/**
 * The messages of a record.
 * @param ageSeconds since they were accepted
 * @throws RecordError
 */
export function decodeRecord (payload: Buffer, ageSeconds: number, keys: KeyRing): Outgoing[] {
  const { partitions } = parseHead(payload)
  const lines = payload.toString().split('\n')
  const messages: Outgoing[] = []
  let at = 1
  for (const [queue, partition, count] of partitions) {
    for (const stored of lines.slice(at, at + count)) messages.push(prepared({ queue, partition, ageSeconds, ...opened(keys, queue, partition, stored) }))
    at += count
  }
  if (at !== lines.length) throw new RecordError('its head does not fit its lines')
  return messages
}

/** A queue that encrypts no more stores what was sealed for it in clear text, if there is still a key for that. */
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
    if (head?.v === VERSION && Array.isArray(head.partitions)) return head as Head
  } catch {
    // No JSON is no record of ours either.
  }
  throw new RecordError('it is not a record of this version')
}
