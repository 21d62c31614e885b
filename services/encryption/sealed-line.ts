import { RegentError } from '../errors.ts'
import { transactionIdOf } from '../log/line.ts'
import { UnreadableError } from './key-ring.ts'
import type { KeyRing } from './key-ring.ts'

/**
 * A sealed line is a stored line (services/log/line.ts) whose data is an envelope and that ends in a mark. A plain line
 * cannot end so: what stands before its own closing brace is the end of a JSON value, and no value ends in `"sealed":1`
 * (only an object has fields, and it ends in a brace). So what a client pushes is never taken for an envelope.
 */
const MARK = ',"sealed":1}'
const DATA_KEY = ',"data":'

/** Where a message belongs: an envelope opens there only. */
export interface Place {
  queue: string
  partition: string
}

/** Whether a stored line is sealed. */
export function isSealed (line: string): boolean {
  return line.endsWith(MARK)
}

/**
 * The sealed form of a plain line.
 * @throws RegentError RGT_ENCRYPTION_KEY_MISSING naming the queue when the ring has no key
 */
export function sealLine (ring: KeyRing, place: Place, line: string): string {
  const at = line.indexOf(DATA_KEY) + DATA_KEY.length
  const envelope = ring.seal(contextOf(place, line), line.slice(at, -1))
  if (envelope === null) throw new RegentError('RGT_ENCRYPTION_KEY_MISSING', { detail: place.queue })
  return line.slice(0, at) + envelope + MARK
}

/**
 * The plain form of a stored line; a plain one is returned as it is.
 * @param place where the message was found, with its wire id for the error
 * @throws RegentError RGT_MESSAGE_UNREADABLE naming queue, partition, message and the reason, with the key's kid
 */
export function openLine (ring: KeyRing, place: Place & { id: string }, line: string): string {
  if (!isSealed(line)) return line
  const at = line.indexOf(DATA_KEY) + DATA_KEY.length
  try {
    return line.slice(0, at) + ring.open(contextOf(place, line), line.slice(at, -MARK.length)) + '}'
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error
    throw new RegentError('RGT_MESSAGE_UNREADABLE', {
      detail: `${place.id} of queue ${place.queue}, partition ${place.partition}: ${error.message}`, cause: error
    })
  }
}

/** NUL cannot stand in a name, so different places never have the same text. */
function contextOf ({ queue, partition }: Place, line: string): string {
  // The cast holds: a line begins with its transaction id as a JSON string.
  return `${queue}\0${partition}\0${JSON.parse(transactionIdOf(line)) as string}`
}
