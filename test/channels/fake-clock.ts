import type { Clock } from '../../services/channels/deadlines.ts'

interface Timer { at: number, callback: () => void }

/** Time that passes when a test says so. */
export class FakeClock implements Clock {
  #now = 1000
  readonly timers = new Set<Timer>()

  now = (): number => this.#now

  setTimer = (callback: () => void, afterMs: number): Timer => {
    const timer = { at: this.#now + afterMs, callback }
    this.timers.add(timer)
    return timer
  }

  clearTimer = (timer: unknown): void => {
    this.timers.delete(timer as Timer) // only what setTimer returned
  }

  /** Let time pass; timers go off in their order. */
  advance (ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const due = [...this.timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.timers.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.callback()
    }
    this.#now = until
  }
}
