import type { LoadResult } from './jobs.ts'
import { percentiles } from './statistics.ts'

/** Collects latencies and faults of one load. */
export class Tally {
  readonly #latencies: number[] = []
  readonly #faults = new Map<string, number>()
  requests = 0
  messages = 0

  latency (ms: number): void {
    this.#latencies.push(ms)
  }

  fault (text: string): void {
    this.#faults.set(text, (this.#faults.get(text) ?? 0) + 1)
  }

  result (seconds: number, more: Partial<Pick<LoadResult, 'nextNumber' | 'figures'>> = {}): LoadResult {
    return {
      seconds,
      requests: this.requests,
      messages: this.messages,
      latency: percentiles(this.#latencies),
      nextNumber: 0,
      figures: {},
      faults: [...this.#faults].map(([text, times]) => times === 1 ? text : `${text} (${times} times)`),
      ...more
    }
  }
}
