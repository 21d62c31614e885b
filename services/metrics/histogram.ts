/** Upper bounds of buckets, in seconds: from a call that met nothing to a pop that waited. */
export const SECONDS: readonly number[] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
/** The same for how old messages get. */
export const AGE_SECONDS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 21_600, 86_400]
/** Upper bounds of buckets for what one call carries. */
export const ITEMS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]

/** What a histogram has taken in: values per bucket, the last being that beyond every bound, and the sum of them all. */
export interface HistogramFigures { bounds: readonly number[], counts: number[], sum: number }

/** Counts values in fixed buckets. Taking one in is a short search and two additions, and allocates nothing. */
export class Histogram {
  readonly #bounds: readonly number[]
  readonly #counts: Float64Array
  #sum = 0

  /** @param bounds ascending; a value belongs to the first bucket whose bound is not below it */
  constructor (bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  /** Take in a value, as often as it came. */
  observe (value: number, times = 1): void {
    const bounds = this.#bounds
    let bucket = 0
    while (value > (bounds[bucket] ?? Infinity)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + times
    this.#sum += value * times
  }

  get figures (): HistogramFigures {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum }
  }
}
