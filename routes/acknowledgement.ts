import { checkName, isUuid } from '../services/json/names.ts'
import { QUEUE_MODE } from '../services/queue/types.ts'
import type { Acknowledgement, AckStatus } from '../services/queue/types.ts'

const STATUSES: Readonly<Record<string, AckStatus>> = {
  completed: 'completed', success: 'completed', failed: 'failed', retry: 'retry', dlq: 'dlq'
}
/** The words that mean something, as they are written on the wire. */
export const ACK_WORDS = Object.keys(STATUSES)
// A lease id that is no UUID is nobody's lease.
const NO_LEASE = '00000000-0000-0000-0000-000000000000'
export const MAX_ERROR_CHARACTERS = 10_000

/** The status of an acknowledgement by its wire word; null for a word that means nothing. */
export function ackStatus (word: string): AckStatus | null {
  return Object.hasOwn(STATUSES, word) ? STATUSES[word] ?? null : null
}

/** A consumer group from the wire: null, absent and empty mean queue mode. Throws FieldError. */
export function ackGroup (value: unknown, field: string): string {
  if (typeof value !== 'string' || value === '') return QUEUE_MODE
  checkName(value, field)
  return value
}

/** A lease id from the wire; null when none is claimed. */
export function ackLease (value: unknown): string | null {
  if (typeof value !== 'string' || value === '') return null
  return isUuid(value) ? value.toLowerCase() : NO_LEASE
}

/** A failure's text as it can be stored: without NUL or lone surrogates, and of bounded length. */
export function ackError (value: unknown, fallback: string): string {
  if (typeof value !== 'string') return fallback
  return value.slice(0, MAX_ERROR_CHARACTERS).replace(/\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
}

/** An acknowledgement from its wire fields, with the ids already checked to be texts. */
export function acknowledgement (fields: Readonly<Record<string, unknown>>, transactionId: string, partitionId: string,
  group: string, status: AckStatus | null, noError: string): Acknowledgement {
  return { transactionId, partitionId, group, status, leaseId: ackLease(fields.leaseId), error: ackError(fields.error, noError) }
}
