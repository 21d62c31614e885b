/** Monotonic time, and a timer. */
export interface Clock {
  now: () => number
  setTimer: (callback: () => void, afterMs: number) => unknown
  clearTimer: (timer: unknown) => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer: (callback, afterMs) => setTimeout(callback, afterMs),
  clearTimer: timer => { clearTimeout(timer as NodeJS.Timeout) } // only what setTimer returned
}

/** What a timer can be set to; a longer one would fire at once. */
export const LONGEST_MS = 2_147_483_647

export interface Deadline {
  readonly at: number
  readonly expire: () => void
  /** Where it is in the heap; -1 when it is over or was cleared. */
  place: number
}

/** Any number of deadlines on one timer, which runs only while there are any. */
export class Deadlines {
  readonly #clock: Clock
  /** A binary heap: none is later than the two it stands above. */
  readonly #heap: Deadline[] = []
  #timer: unknown = null
  #timerAt = Number.POSITIVE_INFINITY

  constructor (clock: Clock = systemClock) {
    this.#clock = clock
  }

  get size (): number {
    return this.#heap.length
  }

  /** Milliseconds, from any beginning. */
  get now (): number {
    return this.#clock.now()
  }

  set (afterMs: number, expire: () => void): Deadline {
    const deadline = { at: this.#clock.now() + Math.min(afterMs, LONGEST_MS), expire, place: this.#heap.length }
    this.#heap.push(deadline)
    this.#rise(deadline)
    if (deadline.place === 0) this.#arm()
    return deadline
  }

  /** Clearing one that is over or was cleared does nothing. */
  clear (deadline: Deadline | null): void {
    if (deadline === null || deadline.place < 0) return
    this.#take(deadline)
    // With others left the timer stays: early, it finds nothing to do and is set anew.
    if (this.#heap.length === 0) this.#disarm()
  }

  clearAll (): void {
    for (const deadline of this.#heap) deadline.place = -1
    this.#heap.length = 0
    this.#disarm()
  }

  #take (deadline: Deadline): void {
    const last = this.#heap.pop()
    if (last !== undefined && last !== deadline) {
      last.place = deadline.place
      this.#heap[last.place] = last
      this.#rise(last)
      this.#sink(last)
    }
    deadline.place = -1
  }

  #rise (deadline: Deadline): void {
    while (deadline.place > 0) {
      const above = this.#heap[(deadline.place - 1) >> 1]
      if (above === undefined || above.at <= deadline.at) return
      this.#swap(above, deadline)
    }
  }

  #sink (deadline: Deadline): void {
    for (;;) {
      const left = this.#heap[2 * deadline.place + 1]
      const right = this.#heap[2 * deadline.place + 2]
      const sooner = right !== undefined && left !== undefined && right.at < left.at ? right : left
      if (sooner === undefined || sooner.at >= deadline.at) return
      this.#swap(deadline, sooner)
    }
  }

  #swap (above: Deadline, below: Deadline): void {
    const place = above.place
    above.place = below.place
    below.place = place
    this.#heap[above.place] = above
    this.#heap[below.place] = below
  }

  #arm (): void {
    const first = this.#heap[0]
    if (first === undefined || first.at >= this.#timerAt) return
    this.#disarm()
    this.#timerAt = first.at
    this.#timer = this.#clock.setTimer(() => { this.#fire() }, Math.max(1, Math.ceil(first.at - this.#clock.now())))
  }

  #disarm (): void {
    if (this.#timer !== null) this.#clock.clearTimer(this.#timer)
    this.#timer = null
    this.#timerAt = Number.POSITIVE_INFINITY
  }

  #fire (): void {
    this.#timer = null
    this.#timerAt = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#take(first)
      first.expire()
    }
    this.#arm()
  }
}
