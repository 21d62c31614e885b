import { tooDeep, unexpected } from './json-syntax-error.ts'

// Each scan takes the offset where a token starts and returns the offset after it, or throws. Loops over an array of units
// on purpose: charCodeAt finds out for each unit anew what kind of string it reads, and takes twice as long.

/** A text to be scanned. */
export interface Source {
  readonly text: string
  /**
   * Its UTF-16 units, and a zero after them. No token may hold a zero or end with one, so no scan runs past the end: to
   * all of them the end is one more unit that cannot stand there.
   */
  readonly units: Uint16Array
  /** Neither backslashes nor control characters, as in most bodies that programs write: a string ends at the next quote. */
  readonly isPlain: boolean
}

/** A control character or a backslash, so that a text does not stand for itself between quotes: all but what comes from the space on, the backslash left out. */
export const NOT_PLAIN = /[^ -[\]-\uffff]/

export const QUOTE = 0x22
export const COMMA = 0x2c
export const MINUS = 0x2d
const DOT = 0x2e
export const ZERO = 0x30
export const NINE = 0x39
const COLON = 0x3a
export const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
export const CLOSE_ARRAY = 0x5d
export const OPEN_OBJECT = 0x7b
export const CLOSE_OBJECT = 0x7d
export const LOWER_T = 0x74
export const LOWER_F = 0x66
export const LOWER_N = 0x6e
const LOWER_U = 0x75

/** Prepares a text to be scanned; it takes twice its length in bytes for as long as it is. */
export function sourceOf (text: string): Source {
  const length = text.length + 1
  // From Node's pool where it is short: a buffer of its own costs more than scanning such a text. The pool keeps them aligned.
  const bytes = Buffer.allocUnsafe(2 * length)
  bytes.write(text, 'utf16le')
  const units = new Uint16Array(bytes.buffer, bytes.byteOffset, length)
  units[text.length] = 0
  return { text, units, isPlain: !NOT_PLAIN.test(text) }
}

/** The unit at an offset; zero at the end. */
export function unitAt (source: Source, position: number): number {
  // The cast holds: positions go up to the zero at the end.
  return source.units[position] as number
}

/** Skips space, tab, line feed and carriage return, the only blanks of RFC 8259 section 2. */
export function scanBlanks (source: Source, start: number): number {
  let position = start
  let unit = unitAt(source, position)
  while (unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09) unit = unitAt(source, ++position)
  return position
}

/** Scans a string from its opening quote to past the closing one. */
export function scanString (source: Source, start: number): number {
  if (unitAt(source, start) !== QUOTE) throw unexpected(source.units, start)
  let position = start + 1
  if (source.isPlain) {
    const end = source.text.indexOf('"', position)
    if (end === -1) throw unexpected(source.units, source.text.length)
    return end + 1
  }
  for (;;) {
    const unit = unitAt(source, position)
    if (unit === QUOTE) return position + 1
    if (unit === BACKSLASH) position = scanEscape(source, position + 1)
    else if (unit < 0x20) throw unexpected(source.units, position)
    else position++
  }
}

/** Scans what follows a backslash. `\u` takes any four hex digits: half a surrogate pair is valid JSON. */
function scanEscape (source: Source, start: number): number {
  const unit = unitAt(source, start)
  if (unit === LOWER_U) {
    for (let position = start + 1; position <= start + 4; position++) {
      if (!isHexDigit(unitAt(source, position))) throw unexpected(source.units, position)
    }
    return start + 5
  }
  switch (unit) {
    case QUOTE: case BACKSLASH: case 0x2f:
    case 0x62: case LOWER_F: case LOWER_N: case 0x72: case LOWER_T: // \b \f \n \r \t
      return start + 1
  }
  throw unexpected(source.units, start)
}

function isHexDigit (unit: number): boolean {
  if (unit >= ZERO && unit <= NINE) return true
  const lower = unit | 0x20 // folds A-F on a-f
  return lower >= 0x61 && lower <= 0x66
}

function scanDigits (source: Source, start: number): number {
  let position = start
  let unit = unitAt(source, position)
  if (unit < ZERO || unit > NINE) throw unexpected(source.units, position)
  do unit = unitAt(source, ++position)
  while (unit >= ZERO && unit <= NINE)
  return position
}

function scanNumber (source: Source, start: number): number {
  let position = start
  if (unitAt(source, position) === MINUS) position++
  // A leading zero ends the integer part, so `01` fails on its second digit.
  position = unitAt(source, position) === ZERO ? position + 1 : scanDigits(source, position)
  if (unitAt(source, position) === DOT) position = scanDigits(source, position + 1)
  if ((unitAt(source, position) | 0x20) === 0x65) {
    const sign = unitAt(source, ++position)
    if (sign === 0x2b || sign === MINUS) position++
    position = scanDigits(source, position)
  }
  return position
}

function scanWord (source: Source, start: number, word: string): number {
  for (let i = 0; i < word.length; i++) if (unitAt(source, start + i) !== word.charCodeAt(i)) throw unexpected(source.units, start + i)
  return start + word.length
}

/** Scans the colon after a key, and the blanks around it, up to the start of the value. */
export function scanColon (source: Source, start: number): number {
  const position = scanBlanks(source, start)
  if (unitAt(source, position) !== COLON) throw unexpected(source.units, position)
  return scanBlanks(source, position + 1)
}

function scanScalar (source: Source, start: number, unit: number): number {
  switch (unit) {
    case QUOTE: return scanString(source, start)
    case LOWER_T: return scanWord(source, start, 'true')
    case LOWER_F: return scanWord(source, start, 'false')
    case LOWER_N: return scanWord(source, start, 'null')
  }
  return scanNumber(source, start)
}

/**
 * Scans one value of any kind, starting at its first character. Depth is counted from this value's
 * own root: `maxDepth` nested brackets pass, one more is refused. The open brackets live in an array
 * and not on the call stack, so no input can overflow it.
 */
export function scanValue (source: Source, start: number, maxDepth: number): number {
  const closers: number[] = [] // the closing brackets still owed
  let position = start
  for (;;) {
    let unit = unitAt(source, position)
    if (unit === OPEN_OBJECT || unit === OPEN_ARRAY) {
      if (closers.length >= maxDepth) throw tooDeep(maxDepth, position)
      const closer = unit + 2 // in ASCII both closing brackets stand two after the opening one
      closers.push(closer)
      position = scanBlanks(source, position + 1)
      unit = unitAt(source, position)
      if (unit !== closer) {
        if (closer === CLOSE_OBJECT) position = scanColon(source, scanString(source, position))
        continue
      }
    } else {
      position = scanScalar(source, position, unit)
      if (closers.length === 0) return position
      position = scanBlanks(source, position)
      unit = unitAt(source, position)
    }
    // Here a value has ended, or a container is empty: close all that closes, then go to the sibling.
    while (unit === closers[closers.length - 1]) {
      closers.pop()
      position++
      if (closers.length === 0) return position
      position = scanBlanks(source, position)
      unit = unitAt(source, position)
    }
    if (unit !== COMMA) throw unexpected(source.units, position)
    position = scanBlanks(source, position + 1)
    if (closers[closers.length - 1] === CLOSE_OBJECT) position = scanColon(source, scanString(source, position))
  }
}
