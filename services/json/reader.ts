import { unexpected } from './json-syntax-error.ts'
import {
  CLOSE_ARRAY, CLOSE_OBJECT, COMMA, LOWER_F, LOWER_N, LOWER_T, MINUS, NINE, OPEN_ARRAY, OPEN_OBJECT, QUOTE, ZERO,
  scanBlanks, scanColon, scanString, scanValue, sourceOf, unitAt
} from './scan.ts'
import type { Source } from './scan.ts'

export { JsonSyntaxError } from './json-syntax-error.ts'

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'true' | 'false' | 'null'

/**
 * A strict RFC 8259 cursor over a JSON text that cuts values out as the client wrote them, because a
 * parsed value would lose big integers, trailing zeros, key order, duplicate keys and lone surrogates.
 *
 *     reader.enterObject()
 *     for (let key = reader.nextKey(); key !== null; key = reader.nextKey()) { ... one value ... }
 *     reader.end()
 *
 * The caller consumes exactly one value after each key or element. Any method throws JsonSyntaxError.
 * Cut text may share memory with the whole body (V8 slices): copy what outlives the request.
 */
export class JsonReader {
  readonly #source: Source
  readonly #maxDepth: number
  #position = 0
  // Between an opening bracket and its first member a comma is a fault; after that it is required.
  // One flag serves all levels: a nested container has cleared it by the time its parent goes on.
  #isFirst = false

  /**
   * `maxDepth` bounds each value taken by `rawValue` and `skip`, counted from that value's own root:
   * a scalar has depth 0, `[]` has 1. Containers entered by the caller do not count.
   */
  constructor (text: string, maxDepth: number) {
    this.#source = sourceOf(text)
    this.#maxDepth = maxDepth
  }

  /** No string of the text needs resolving, and all of it stands on one line. */
  get isPlain (): boolean {
    return this.#source.isPlain
  }

  /** Kind of the next value, without consuming it. */
  kind (): JsonKind {
    const unit = this.#peek()
    switch (unit) {
      case OPEN_OBJECT: return 'object'
      case OPEN_ARRAY: return 'array'
      case QUOTE: return 'string'
      case LOWER_T: return 'true'
      case LOWER_F: return 'false'
      case LOWER_N: return 'null'
    }
    if (unit === MINUS || (unit >= ZERO && unit <= NINE)) return 'number'
    throw unexpected(this.#source.units, this.#position)
  }

  /** Consumes the `{` of the next value, which must be an object. */
  enterObject (): void {
    this.#enter(OPEN_OBJECT)
  }

  /** The next key of the entered object, escapes resolved; null once its `}` is consumed. */
  nextKey (): string | null {
    if (!this.#next(CLOSE_OBJECT)) return null
    const start = this.#position
    const end = scanString(this.#source, start)
    this.#position = scanColon(this.#source, end)
    return this.#decode(start, end)
  }

  /** Consumes the `[` of the next value, which must be an array. */
  enterArray (): void {
    this.#enter(OPEN_ARRAY)
  }

  /** Whether the entered array has one more element; false once its `]` is consumed. */
  nextElement (): boolean {
    return this.#next(CLOSE_ARRAY)
  }

  /** The next value, which must be a string, with its escapes resolved. */
  string (): string {
    this.#position = scanBlanks(this.#source, this.#position)
    const start = this.#position
    this.#position = scanString(this.#source, start)
    return this.#decode(start, this.#position)
  }

  /** Validates the next value of any kind and returns its exact text, blanks around it left out. */
  rawValue (): string {
    this.#position = scanBlanks(this.#source, this.#position)
    const start = this.#position
    this.#position = scanValue(this.#source, start, this.#maxDepth)
    return this.#source.text.slice(start, this.#position)
  }

  /** Validates the next value of any kind and moves past it. */
  skip (): void {
    this.#position = scanValue(this.#source, scanBlanks(this.#source, this.#position), this.#maxDepth)
  }

  /** Checks that only blanks remain: to be called once after the top-level value. */
  end (): void {
    this.#peek()
    if (this.#position !== this.#source.text.length) throw unexpected(this.#source.units, this.#position)
  }

  #peek (): number {
    this.#position = scanBlanks(this.#source, this.#position)
    return unitAt(this.#source, this.#position)
  }

  #enter (opener: number): void {
    if (this.#peek() !== opener) throw unexpected(this.#source.units, this.#position)
    this.#position++
    this.#isFirst = true
  }

  #next (closer: number): boolean {
    const unit = this.#peek()
    const isFirst = this.#isFirst
    this.#isFirst = false
    if (unit === closer) {
      this.#position++
      return false
    }
    if (isFirst) return true
    if (unit !== COMMA) throw unexpected(this.#source.units, this.#position)
    this.#position = scanBlanks(this.#source, this.#position + 1)
    return true
  }

  #decode (start: number, end: number): string {
    const inner = this.#source.text.slice(start + 1, end - 1)
    if (this.#source.isPlain || !inner.includes('\\')) return inner
    // The cast holds: scanString accepted this text as one JSON string.
    return JSON.parse(this.#source.text.slice(start, end)) as string
  }
}
