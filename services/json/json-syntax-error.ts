export type JsonFault = 'syntax' | 'depth'

/** Refusal of a JSON text. The message never quotes the body beyond the one offending character. */
export class JsonSyntaxError extends Error {
  readonly code: JsonFault
  /** Offset of the fault, in UTF-16 units from the start of the text. */
  readonly position: number

  constructor (code: JsonFault, message: string, position: number) {
    super(`${message} at position ${position}`)
    this.name = 'JsonSyntaxError'
    this.code = code
    this.position = position
  }
}

/**
 * The error for a text that ends early or holds a character the grammar does not allow there.
 * @param units those of the text and a zero after them
 */
export function unexpected (units: Uint16Array, position: number): JsonSyntaxError {
  const code = String.fromCharCode(...units.subarray(position, Math.min(position + 2, units.length - 1))).codePointAt(0)
  const found = code === undefined ? 'end of JSON' : `character ${printable(code)}`
  return new JsonSyntaxError('syntax', `Unexpected ${found}`, position)
}

/** The error for the opening bracket that passes the depth limit. */
export function tooDeep (maxDepth: number, position: number): JsonSyntaxError {
  return new JsonSyntaxError('depth', `JSON nested deeper than ${maxDepth} levels`, position)
}

// Controls, bidi marks and lone surrogates would garble a log line: everything but plain ASCII is named.
function printable (code: number): string {
  if (code > 0x20 && code < 0x7f) return `'${String.fromCharCode(code)}'`
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
}
