import { tooDeep, unexpected } from './json-syntax-error.ts'

// Each scan takes the offset where a token starts and returns the offset after it, or throws.
// charCodeAt loops on purpose: on Node 20 they walk a 25 KB body in about half the time of sticky regexes.

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

/** UTF-16 unit at an offset, -1 past the end: NaN from charCodeAt would deoptimise the loops. */
export function unitAt (text: string, position: number): number {
  return position < text.length ? text.charCodeAt(position) : -1
}

/** Skips space, tab, line feed and carriage return, the only blanks of RFC 8259 section 2. */
export function scanBlanks (text: string, start: number): number {
  let position = start
  let unit = unitAt(text, position)
  while (unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09) unit = unitAt(text, ++position)
  return position
}

/** Scans a string from its opening quote to past the closing one. */
export function scanString (text: string, start: number): number {
  const length = text.length
  if (unitAt(text, start) !== QUOTE) throw unexpected(text, start)
  let position = start + 1
  while (position < length) {
    const unit = text.charCodeAt(position)
    if (unit === QUOTE) return position + 1
    if (unit === BACKSLASH) position = scanEscape(text, position + 1)
    else if (unit < 0x20) throw unexpected(text, position)
    else position++
  }
  throw unexpected(text, length)
}

/** Scans what follows a backslash. `\u` takes any four hex digits: half a surrogate pair is valid JSON. */
function scanEscape (text: string, start: number): number {
  const unit = unitAt(text, start)
  if (unit === LOWER_U) {
    for (let position = start + 1; position <= start + 4; position++) {
      if (!isHexDigit(unitAt(text, position))) throw unexpected(text, position)
    }
    return start + 5
  }
  switch (unit) {
    case QUOTE: case BACKSLASH: case 0x2f:
    case 0x62: case LOWER_F: case LOWER_N: case 0x72: case LOWER_T: // \b \f \n \r \t
      return start + 1
  }
  throw unexpected(text, start)
}

function isHexDigit (unit: number): boolean {
  if (unit >= ZERO && unit <= NINE) return true
  const lower = unit | 0x20 // folds A-F on a-f; -1 stays negative
  return lower >= 0x61 && lower <= 0x66
}

function scanDigits (text: string, start: number): number {
  let position = start
  let unit = unitAt(text, position)
  if (unit < ZERO || unit > NINE) throw unexpected(text, position)
  do unit = unitAt(text, ++position)
  while (unit >= ZERO && unit <= NINE)
  return position
}

function scanNumber (text: string, start: number): number {
  let position = start
  if (unitAt(text, position) === MINUS) position++
  // A leading zero ends the integer part, so `01` fails on its second digit.
  position = unitAt(text, position) === ZERO ? position + 1 : scanDigits(text, position)
  if (unitAt(text, position) === DOT) position = scanDigits(text, position + 1)
  if ((unitAt(text, position) | 0x20) === 0x65) {
    const sign = unitAt(text, ++position)
    if (sign === 0x2b || sign === MINUS) position++
    position = scanDigits(text, position)
  }
  return position
}

function scanWord (text: string, start: number, word: string): number {
  if (text.startsWith(word, start)) return start + word.length
  let position = start
  while (unitAt(text, position) === word.charCodeAt(position - start)) position++
  throw unexpected(text, position)
}

/** Scans the colon after a key, and the blanks around it, up to the start of the value. */
export function scanColon (text: string, start: number): number {
  const position = scanBlanks(text, start)
  if (unitAt(text, position) !== COLON) throw unexpected(text, position)
  return scanBlanks(text, position + 1)
}

function scanScalar (text: string, start: number, unit: number): number {
  switch (unit) {
    case QUOTE: return scanString(text, start)
    case LOWER_T: return scanWord(text, start, 'true')
    case LOWER_F: return scanWord(text, start, 'false')
    case LOWER_N: return scanWord(text, start, 'null')
  }
  return scanNumber(text, start)
}

/**
 * Scans one value of any kind, starting at its first character. Depth is counted from this value's
 * own root: `maxDepth` nested brackets pass, one more is refused. The open brackets live in an array
 * and not on the call stack, so no input can overflow it.
 */
export function scanValue (text: string, start: number, maxDepth: number): number {
  const closers: number[] = [] // the closing brackets still owed
  let position = start
  for (;;) {
    let unit = unitAt(text, position)
    if (unit === OPEN_OBJECT || unit === OPEN_ARRAY) {
      if (closers.length >= maxDepth) throw tooDeep(maxDepth, position)
      const closer = unit + 2 // in ASCII both closing brackets stand two after the opening one
      closers.push(closer)
      position = scanBlanks(text, position + 1)
      unit = unitAt(text, position)
      if (unit !== closer) {
        if (closer === CLOSE_OBJECT) position = scanColon(text, scanString(text, position))
        continue
      }
    } else {
      position = scanScalar(text, position, unit)
      if (closers.length === 0) return position
      position = scanBlanks(text, position)
      unit = unitAt(text, position)
    }
    // Here a value has ended, or a container is empty: close all that closes, then go to the sibling.
    while (unit === closers[closers.length - 1]) {
      closers.pop()
      position++
      if (closers.length === 0) return position
      position = scanBlanks(text, position)
      unit = unitAt(text, position)
    }
    if (unit !== COMMA) throw unexpected(text, position)
    position = scanBlanks(text, position + 1)
    if (closers[closers.length - 1] === CLOSE_OBJECT) position = scanColon(text, scanString(text, position))
  }
}
