import type { KeyRing } from '../encryption/key-ring.ts'
import { openLine } from '../encryption/sealed-line.ts'
import { RegentError } from '../errors.ts'

/** What a stored line says before its data, which is never encrypted. */
export interface StoredHead {
  transactionId: string
  traceId: string | null
  producerSub: string | null
  /** Its W3C trace context, where it is part of a trace. */
  traceparent?: string
  tracestate?: string
}

/** What a stored line holds, for lists: one message that cannot be decrypted must not hide the others. */
export interface StoredMessage extends StoredHead {
  /** The client's own JSON text; null when it cannot be decrypted here. */
  data: string | null
  /** Why it cannot be decrypted. */
  dataError: string | null
}

const DATA_KEY = ',"data":'

/**
 * Takes a stored line apart (services/log/line.ts), the payload decrypted and otherwise as it is.
 * @param place where the message was found, with its wire id for errors
 */
export function readStoredLine (keys: KeyRing, place: { queue: string, partition: string, id: string }, line: string): StoredMessage {
  // Inside of the texts before it, its quotes would be escaped: the first one is the real one.
  const at = line.indexOf(DATA_KEY)
  // The cast holds: messageLine has written these fields.
  const head = JSON.parse(line.slice(0, at) + '}') as StoredHead
  try {
    return { ...head, data: openLine(keys, place, line).slice(at + DATA_KEY.length, -1), dataError: null }
  } catch (error) {
    if (!(error instanceof RegentError)) throw error
    return { ...head, data: null, dataError: error.message }
  }
}
