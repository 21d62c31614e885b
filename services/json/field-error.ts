export type FieldReason =
  'required' | 'type' | 'empty' | 'too_long' | 'too_many' | 'nul' | 'unpaired_surrogate' | 'not_a_uuid' | 'depth' | 'range' | 'unsupported' | 'format'

/** A well-formed body with a value we refuse. The message names the field and never shows its value. */
export class FieldError extends Error {
  /** Path in the body, such as `items[3].queue`. */
  readonly field: string
  readonly reason: FieldReason

  constructor (field: string, reason: FieldReason, message: string) {
    super(message)
    this.name = 'FieldError'
    this.field = field
    this.reason = reason
  }
}

/** Builds the error whose message is the field path and a sentence that starts with the field's name. */
export function fieldError (field: string, reason: FieldReason, predicate: string): FieldError {
  const name = field.slice(field.lastIndexOf('.') + 1)
  const label = name.charAt(0).toUpperCase() + name.slice(1)
  return new FieldError(field, reason, `${field}: ${label} ${predicate}`)
}
