const FIRST_MS = 100
const LONGEST_MS = 10_000

/** How long to wait before connecting again: twice as long each time, and not all clients at the same moment. */
export class Backoff {
  #failures = 0
  #connectedAt = 0

  connected (): void {
    this.#connectedAt = performance.now()
  }

  /** The connection was lost, or there never was one. One that has lasted begins anew. */
  nextMs (): number {
    if (this.#connectedAt > 0 && performance.now() - this.#connectedAt > LONGEST_MS) this.#failures = 0
    this.#connectedAt = 0
    const mostMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#failures)
    this.#failures++
    return mostMs * (0.5 + Math.random() / 2)
  }
}
