import { fieldError, type FieldReason } from './field-error.ts'
import { isWellFormed } from './text.ts'

/** Longest queue, partition, group or transaction name, in code points as PostgreSQL varchar counts. */
export const MAX_NAME_CHARACTERS = 255

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

const PREDICATES = {
  empty: 'must not be empty',
  too_long: `must be at most ${MAX_NAME_CHARACTERS} characters`,
  nul: 'must not contain a NUL character',
  unpaired_surrogate: 'must not contain an unpaired surrogate'
} as const satisfies Partial<Record<FieldReason, string>>

type NameFault = keyof typeof PREDICATES

/** What keeps the text from being a name, or null when it is one. */
export function nameFault (value: string): NameFault | null {
  if (value === '') return 'empty'
  if (isTooLong(value)) return 'too_long'
  if (value.includes('\0')) return 'nul'
  return isWellFormed(value) ? null : 'unpaired_surrogate'
}

/** Throws a FieldError unless the value is a name we can store. */
export function checkName (value: string, field: string): void {
  const fault = nameFault(value)
  if (fault !== null) throw fieldError(field, fault, PREDICATES[fault])
}

/** Whether the text is a UUID, in any case. */
export function isUuid (value: string): boolean {
  return UUID.test(value)
}

/** The UUID in lower case, the form PostgreSQL gives back; throws a FieldError for any other text. */
export function checkUuid (value: string, field: string): string {
  if (!isUuid(value)) throw fieldError(field, 'not_a_uuid', 'must be a UUID')
  return value.toLowerCase()
}

function isTooLong (value: string): boolean {
  // A code point takes one or two units, so only lengths in between need the slow count.
  if (value.length <= MAX_NAME_CHARACTERS) return false
  return value.length > 2 * MAX_NAME_CHARACTERS || [...value].length > MAX_NAME_CHARACTERS
}
