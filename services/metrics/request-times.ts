import type { HistogramSamples, Labels } from './exposition.ts'
import { Histogram, SECONDS } from './histogram.ts'

/** What is known of a request when it is over. */
export interface EndedRequest {
  method: string
  /** The pattern of its route, never a path that somebody sent; undefined: no route was meant. */
  route: string | undefined
  /** Null: its client did not take the answer. */
  status: number | null
}

const NO_ROUTE = 'none'

/** How long requests took, from their head until their answer was sent, by route and class of status. */
export class RequestTimes {
  readonly #series = new Map<string, { labels: Labels, histogram: Histogram }>()

  ended ({ method, route = NO_ROUTE, status }: EndedRequest, ms: number): void {
    const statusClass = status === null ? 'gone' : `${Math.floor(status / 100)}xx`
    const key = `${method} ${statusClass} ${route}`
    let series = this.#series.get(key)
    if (series === undefined) {
      series = { labels: { method, route, status: statusClass }, histogram: new Histogram(SECONDS) }
      this.#series.set(key, series)
    }
    series.histogram.observe(ms / 1000)
  }

  /** A histogram per method, route and class of status that there was, in order of first appearance. */
  get samples (): HistogramSamples {
    return [...this.#series.values()].map(({ labels, histogram }) => [labels, histogram.figures] as const)
  }
}
