const INTERVAL_MS = 60_000

/** Lets one event of a kind through a minute, so that what happens to every request of an outage does not fill disks. */
export class Ration {
  readonly #kinds = new Map<string, { since: number, heldBack: number }>()
  readonly #now: () => number

  /** @param now a clock that never goes back, in milliseconds */
  constructor (now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** How many were held back since the last one that was let through; null: this one is held back too. */
  take (kind: string): number | null {
    const last = this.#kinds.get(kind)
    const now = this.#now()
    if (last !== undefined && now - last.since < INTERVAL_MS) {
      last.heldBack++
      return null
    }
    this.#kinds.set(kind, { since: now, heldBack: 0 })
    return last?.heldBack ?? 0
  }
}
