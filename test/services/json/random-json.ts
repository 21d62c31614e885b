/** A small seeded generator (mulberry32), so that a failing case can be replayed from its seed. */
export class RandomJson {
  #state: number

  constructor (seed: number) {
    this.#state = seed
  }

  below (bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }

  pick (choices: readonly string[]): string {
    return choices[this.below(choices.length)] ?? ''
  }

  /** A valid JSON text. */
  value (depth = 4): string {
    const kind = this.below(depth > 0 ? 7 : 4)
    if (kind < 2) return this.pick(NUMBERS)
    if (kind === 2) return this.pick(['true', 'false', 'null'])
    if (kind === 3) return this.#string()
    const isObject = kind > 5
    const members = Array.from({ length: this.below(5) }, () =>
      isObject
        ? `${this.#blank()}${this.#string()}${this.#blank()}:${this.#blank()}${this.value(depth - 1)}${this.#blank()}`
        : `${this.#blank()}${this.value(depth - 1)}${this.#blank()}`)
    const inner = members.length === 0 ? this.#blank() : members.join(',')
    return isObject ? `{${inner}}` : `[${inner}]`
  }

  /** The text with one to three small damages; it may still be valid. */
  mutate (text: string): string {
    let damaged = text
    for (let rounds = 1 + this.below(3); rounds > 0; rounds--) {
      const at = this.below(damaged.length + 1)
      const removed = this.below(3) === 0 ? 0 : this.below(3)
      const added = this.below(3) === 0 ? '' : this.pick(FRAGMENTS)
      damaged = damaged.slice(0, at) + added + damaged.slice(at + removed)
    }
    return damaged
  }

  #string (): string {
    return `"${Array.from({ length: this.below(6) }, () => this.pick(CHARACTERS)).join('')}"`
  }

  #blank (): string {
    return this.pick(['', '', '', '', ' ', '\n', '\r\n', '\t', '  '])
  }
}

const NUMBERS = ['0', '-0', '1', '-12', '0.10', '1.10', '1e400', '-1E-7', '9007199254740993', '1e+2', '0e0', '123456789.5']
const CHARACTERS = [
  'a', 'Z', ' ', 'é', '\u{1f389}', '\ud800', '\udfff', '\u2028', '\u007f', '__proto__', '\\"', '\\\\', '\\/', '\\b',
  '\\f', '\\n', '\\r', '\\t', '\\u0000', '\\ud83c\\udf89', '\\uDEAD', '{', '[', ',', ':', ']', '}'
]
const FRAGMENTS = [
  '"', '\\', '\\u', '\\u00', '\\x', '{', '}', '[', ']', ',', ':', '0', '1', '-', '+', '.', 'e', 'E', 't', 'true', 'nul',
  'null', 'NaN', ' ', '\n', '\r', '\t', '\f', '\u0000', '\u001f', '\u00a0', '\ufeff', '/', '//', "'", '""', '[]', '{}', ',1', '"a":'
]
