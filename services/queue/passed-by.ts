import type { LookSpec } from '../poll/types.ts'

interface Passed {
  /** Before this time, the database's own as text, nothing was available. */
  until: string
  /** When everything was looked through last, on the monotonic clock, and what finding the first partition then took. */
  wholeAt: number
  wholeMs: number
}

/** What a look says of how it went through the partitions that are available. */
export interface Scan { scanMs: number, passed: string }

// Finding the first partition takes some 0.05 ms. What takes up to this is looked through each time.
const CHEAP_MS = 0.5
// What takes longer, for at most this share of the time.
const SHARE = 1 / 40
const MOST_TARGETS = 10_000

/**
 * Which partitions need no look because nothing has been available there for long. Each claim and each acknowledgement
 * leaves a dead entry at the old end of the index of what is available, and while somebody keeps a transaction open in the
 * database, none of them can be removed: without this, every look would read them all. Something may still appear before
 * the time remembered, by a transaction that took long to commit; so everything is looked through again and again, and a
 * look that has left something out says when.
 */
export class PassedBy {
  readonly #targets = new Map<string, Passed>()
  readonly #now: () => number

  /** @param now monotonic, in milliseconds */
  constructor (now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** From when on to look for this; null: through everything. */
  from (spec: LookSpec): string | null {
    const known = this.#targets.get(keyOf(spec))
    return known === undefined || known.wholeMs <= CHEAP_MS || this.#wholeInMs(known) <= 0 ? null : known.until
  }

  /**
   * Remember how a look went.
   * @param from what it was told by `from`
   * @returns in how many milliseconds it is worth looking again because this one left something out; null: it did not
   */
  saw (spec: LookSpec, from: string | null, scan: Scan): number | null {
    const key = keyOf(spec)
    const known = this.#targets.get(key)
    if (from === null || known === undefined) {
      this.#targets.delete(key)
      this.#targets.set(key, { until: scan.passed, wholeAt: this.#now(), wholeMs: scan.scanMs })
      const [oldest] = this.#targets.keys()
      if (this.#targets.size > MOST_TARGETS && oldest !== undefined) this.#targets.delete(oldest)
      return from === null ? null : 0
    }
    known.until = scan.passed
    return Math.max(this.#wholeInMs(known), 0)
  }

  #wholeInMs ({ wholeAt, wholeMs }: Passed): number {
    return wholeAt + wholeMs / SHARE - this.#now()
  }
}

/** NUL cannot stand in a name. */
function keyOf ({ target, group }: LookSpec): string {
  return `${group}\0${target.queue}`
}
