// A regular expression read into its parts, and a matcher that backtracks as the engine's does but counts its steps.

type Node =
  | { kind: 'set', has: (unit: string) => boolean }
  | { kind: 'sequence', items: Node[] }
  | { kind: 'either', options: Node[] }
  | { kind: 'repeat', item: Node, min: number, max: number, isLazy: boolean }
  | { kind: 'look', item: Node, isBehind: boolean, isNegated: boolean }
  | { kind: 'start' | 'end' | 'boundary' }

// From these the characters are taken that a set accepts: letters, digits, punctuation, blanks, what is not ASCII.
const POOL = [...Array.from({ length: 95 }, (_, i) => String.fromCharCode(126 - i)), '\n', '\0', '\u0085', '\u2028', '\ud800', '\udc00', 'é']
// A repetition with a higher bound is taken for one without.
const MANY = 300
const MOST_STEPS = 1_000_000

/** More steps than any input of this length may take. */
export class TooManySteps extends Error {}

export class Pattern {
  readonly #regexp: RegExp
  readonly #root: Node
  readonly #sets: ((unit: string) => boolean)[] = []
  #at = 0

  constructor (regexp: RegExp) {
    this.#regexp = regexp
    this.#root = this.#either()
  }

  /** Where the first match begins and ends, null when there is none; and how many steps that took. @throws TooManySteps */
  run (text: string): { match: [number, number] | null, steps: number } {
    const isMultiline = this.#regexp.multiline
    let steps = 0
    const tick = (): void => { if (++steps > MOST_STEPS) throw new TooManySteps() }
    const isWord = (at: number): boolean => /\w/.test(text[at] ?? '')
    const isLine = (at: number): boolean => isMultiline && /[\n\r\u2028\u2029]/.test(text[at] ?? '')
    const step = (node: Node, at: number, next: (at: number) => boolean): boolean => {
      tick()
      switch (node.kind) {
        case 'set': return at < text.length && node.has(text.charAt(at)) && next(at + 1)
        case 'start': return (at === 0 || isLine(at - 1)) && next(at)
        case 'end': return (at === text.length || isLine(at)) && next(at)
        case 'boundary': return isWord(at - 1) !== isWord(at) && next(at)
        case 'either': return node.options.some(option => step(option, at, next))
        case 'sequence': return sequence(node.items, 0, at, next)
        case 'repeat': return repeat(node, 0, at, next)
        // What is looked for behind is a single character in all of our patterns.
        case 'look': return (node.isBehind ? at > 0 && step(node.item, at - 1, end => end === at) : step(node.item, at, () => true)) !== node.isNegated && next(at)
      }
    }
    const sequence = (items: Node[], i: number, at: number, next: (at: number) => boolean): boolean => {
      const item = items[i]
      return item === undefined ? next(at) : step(item, at, end => sequence(items, i + 1, end, next))
    }
    const repeat = (node: Node & { kind: 'repeat' }, count: number, at: number, next: (at: number) => boolean): boolean => {
      const more = (): boolean => count < node.max && step(node.item, at, end => (end > at || count < node.min) && repeat(node, count + 1, end, next))
      if (count < node.min) return more()
      return node.isLazy ? next(at) || more() : more() || next(at)
    }
    for (let from = 0; from <= text.length; from++) {
      let to = 0
      const isFound = step(this.#root, from, end => {
        to = end
        return true
      })
      if (isFound) return { match: [from, to], steps }
    }
    return { match: null, steps }
  }

  /** Texts to be repeated, and beginnings to stand before them, that lead into every repetition of the pattern. */
  seeds (): { words: string[], beginnings: string[] } {
    const beginnings = new Set([''])
    const words = new Set<string>()
    const walk = (node: Node, before: string): void => {
      if (node.kind === 'sequence') {
        for (const item of node.items) {
          walk(item, before)
          before += example(item)
        }
      } else if (node.kind === 'either') {
        for (const option of node.options) walk(option, before)
      } else if (node.kind === 'repeat') {
        if (node.max > MANY) {
          beginnings.add(before)
          words.add(before)
          words.add(example(node.item))
        }
        walk(node.item, before)
      } else if (node.kind === 'look') {
        walk(node.item, before)
      }
    }
    walk(this.#root, '')
    words.add(example(this.#root))
    // A character that two sets share leads into what can be divided between them in many ways.
    for (const first of this.#sets) for (const second of this.#sets) words.add(POOL.find(unit => first(unit) && second(unit)) ?? '')
    words.delete('')
    return { words: [...words], beginnings: [...beginnings] }
  }

  #either (): Node {
    const options = [this.#sequence()]
    while (this.#take('|')) options.push(this.#sequence())
    return options.length === 1 && options[0] !== undefined ? options[0] : { kind: 'either', options }
  }

  #sequence (): Node {
    const items: Node[] = []
    while (this.#at < this.#regexp.source.length && !this.#is('|') && !this.#is(')')) items.push(this.#repeated(this.#atom()))
    return { kind: 'sequence', items }
  }

  #atom (): Node {
    if (this.#take('^')) return { kind: 'start' }
    if (this.#take('$')) return { kind: 'end' }
    if (this.#take('\\b')) return { kind: 'boundary' }
    const opening = this.#scan(/\((?:\?(?:<?[=!]|:|<\w+>))?/y)
    if (opening === null) return this.#set(this.#scan(/\[(?:[^\]\\]|\\.)*\]|\\(?:u[\da-f]{4}|x[\da-f]{2}|[^1-9kBpPcux])|[^\\()[\]{}*+?|^$]/iy))
    const item = this.#either()
    if (!this.#take(')')) throw new Error(`${String(this.#regexp)} cannot be read`)
    return /[=!]$/.test(opening) ? { kind: 'look', item, isBehind: opening.includes('<'), isNegated: opening.endsWith('!') } : item
  }

  #set (source: string | null): Node {
    if (source === null) throw new Error(`${String(this.#regexp)} has at ${this.#at} what this cannot read`)
    const one = new RegExp(`^${source}$`, this.#regexp.flags.replace(/[dgmy]/g, ''))
    const known = new Map<string, boolean>()
    const has = (unit: string): boolean => {
      const answer = known.get(unit) ?? one.test(unit)
      known.set(unit, answer)
      return answer
    }
    this.#sets.push(has)
    return { kind: 'set', has }
  }

  #repeated (item: Node): Node {
    const [, sign, low, comma, high] = /([*+?])|\{(\d+)(,?)(\d*)\}/y.exec(this.#scan(/[*+?]|\{\d+,?\d*\}/y) ?? '') ?? []
    if (sign === undefined && low === undefined) return item
    const min = sign === undefined ? Number(low) : sign === '+' ? 1 : 0
    const max = sign === undefined ? comma === '' ? min : high === '' ? Infinity : Number(high) : sign === '?' ? 1 : Infinity
    return { kind: 'repeat', item, min, max, isLazy: this.#take('?') }
  }

  #is (text: string): boolean {
    return this.#regexp.source.startsWith(text, this.#at)
  }

  #take (text: string): boolean {
    const isThere = this.#is(text)
    if (isThere) this.#at += text.length
    return isThere
  }

  #scan (sticky: RegExp): string | null {
    sticky.lastIndex = this.#at
    const found = sticky.exec(this.#regexp.source)?.[0] ?? null
    this.#at += found?.length ?? 0
    return found
  }
}

/** A short text that a part accepts. */
function example (node: Node): string {
  switch (node.kind) {
    case 'set': return POOL.find(unit => node.has(unit)) ?? ''
    case 'sequence': return node.items.map(example).join('')
    case 'either': return node.options[0] === undefined ? '' : example(node.options[0])
    case 'repeat': return example(node.item).repeat(Math.max(node.min, 0))
    default: return ''
  }
}
