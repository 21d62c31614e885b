/** Of latencies, in milliseconds. */
export interface Percentiles {
  p50Ms: number
  p90Ms: number
  p99Ms: number
  p999Ms: number
  maxMs: number
}

/** The middle of some repetitions, and how far they lie apart. */
export interface Spread {
  median: number
  min: number
  max: number
}

/**
 * Percentiles by the nearest rank: each is a value that was measured, the smallest one that is not below that share of
 * all. Null for none.
 */
export function percentiles (values: readonly number[]): Percentiles | null {
  if (values.length === 0) return null
  const sorted = Float64Array.from(values).sort()
  const at = (share: number): number => sorted[Math.max(Math.ceil(sorted.length * share) - 1, 0)] ?? 0
  return { p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), p999Ms: at(0.999), maxMs: at(1) }
}

/** Median, least and greatest; of an even number of values the median lies between the middle two. Null for none. */
export function spreadOf (values: readonly number[]): Spread | null {
  const sorted = [...values].sort((a, b) => a - b)
  const min = sorted[0]
  const max = sorted.at(-1)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  if (min === undefined || max === undefined || upper === undefined || lower === undefined) return null
  return { median: (lower + upper) / 2, min, max }
}
