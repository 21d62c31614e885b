/**
 * Random numbers that a seed and a name decide. Every client has its own streams, one per step of its own sequence, so what it
 * does there depends neither on what others do nor on how long anything took.
 */
export class Random {
  #state: number

  constructor (...name: (string | number)[]) {
    // FNV-1a over the name, then mixed by the first draws.
    let hash = 0x811c9dc5
    for (const character of name.join('/')) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193)
    this.#state = hash | 0
    for (let i = 0; i < 4; i++) this.next()
  }

  /** From 0 up to, not including, 1 (mulberry32). */
  next (): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** A whole number from `least` to `most`, both possible. */
  between (least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance (probability: number): boolean {
    return this.next() < probability
  }

  pick<T> (list: readonly T[]): T {
    const found = list[Math.floor(this.next() * list.length)]
    if (found === undefined) throw new Error('there is nothing to pick from')
    return found
  }

  /** One of the keys, each as often as its weight says. */
  weighted<K extends string> (weights: Readonly<Record<K, number>>): K {
    // The cast holds: these are the keys.
    const keys = Object.keys(weights) as K[]
    let left = this.next() * keys.reduce((sum, key) => sum + weights[key], 0)
    for (const key of keys) {
      left -= weights[key]
      if (left < 0) return key
    }
    return this.pick(keys)
  }

  shuffled<T> (list: readonly T[]): T[] {
    return list.map(item => ({ item, at: this.next() })).sort((a, b) => a.at - b.at).map(({ item }) => item)
  }
}
