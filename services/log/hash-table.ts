const FIRST_CAPACITY = 8
export const NOWHERE: readonly number[] = []

/**
 * Open-addressed multimap from a 53-bit hash to positions: 16 bytes a slot, where a Map of numbers takes three times as
 * much. Hash 0 would look like a free slot and is kept as 1: a false hit costs one look, a miss would let a duplicate
 * through.
 */
export class HashTable {
  #keys = new Float64Array(FIRST_CAPACITY)
  #positions = new Float64Array(FIRST_CAPACITY)
  #size = 0

  get capacity (): number {
    return this.#keys.length
  }

  /** Every position under a hash; more than one when ids collide or an id came again after its window. */
  find (hash: number): readonly number[] {
    const key = hash === 0 ? 1 : hash
    const mask = this.#keys.length - 1
    // Nearly always there is none, and nothing is allocated.
    let found = NOWHERE
    for (let slot = home(key) & mask; this.#keys[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#keys[slot] === key) found = [...found, this.#positions[slot] ?? 0]
    }
    return found
  }

  /** Add a position under a hash; adding the same pair again changes nothing. */
  add (hash: number, position: number): void {
    const key = hash === 0 ? 1 : hash
    const mask = this.#keys.length - 1
    let slot = home(key) & mask
    for (; this.#keys[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#keys[slot] === key && this.#positions[slot] === position) return
    }
    this.#keys[slot] = key
    this.#positions[slot] = position
    this.#size++
    if (this.#size * 4 > this.#keys.length * 3) this.#grow()
  }

  #grow (): void {
    const keys = this.#keys
    const positions = this.#positions
    this.#keys = new Float64Array(keys.length * 2)
    this.#positions = new Float64Array(keys.length * 2)
    const mask = this.#keys.length - 1
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] ?? 0
      if (key === 0) continue
      let slot = home(key) & mask
      while (this.#keys[slot] !== 0) slot = (slot + 1) & mask
      this.#keys[slot] = key
      this.#positions[slot] = positions[i] ?? 0
    }
  }
}

/** High and low bits folded: keys that differ only above 2^32 must not share a chain. */
function home (key: number): number {
  return (key >>> 0) ^ Math.floor(key / 0x100000000)
}
