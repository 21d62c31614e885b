import type { Pool } from '../database/pool.ts'
import type { Log } from '../queue/types.ts'

/** How far a consumer group is behind in a queue. */
export interface PairLag {
  queue: string
  group: string
  /** Messages it has not acknowledged. */
  messages: number
  /** Partitions they are in. */
  partitions: number
  /** Age of the oldest of them; 0 when there is none. */
  oldestSeconds: number
}

/** The lag of all pairs of queue and consumer group. */
export interface Lag {
  /** Those furthest behind. */
  shown: PairLag[]
  /** All others together: sums, and the age of the oldest message of them; null when there are none. */
  rest: Omit<PairLag, 'queue' | 'group'> | null
  /** Pairs in `rest`, pairs with more than was counted, and pairs that there was no time for. */
  pairs: { summed: number, partial: number, unseen: number }
}

export interface QueueLagOptions {
  pool: Pool
  /** Most pairs that are shown one by one. */
  maxPairs: number
  log: Log
  /** Monotonic, in milliseconds. */
  now?: () => number
}

interface LagRow {
  queue: string | null
  consumer_group: string | null
  messages: number
  partitions: number
  oldest_seconds: number
  pairs: number
  partial: number
  total: number
}

// Scrapers ask every 15 seconds or so, maybe several of them.
const KEEP_MS = 10_000
// Per pair, and the time for all of them: what bounds the cost of a scrape. In so long about 50,000 partitions with
// messages are counted.
const MOST_PARTITIONS = 5000
const COUNT_MS = 500
// It stops counting by itself; beyond this something else is wrong.
const QUERY_TIMEOUT_MS = 2000

/** Counts the lag when it is asked for it, and remembers the answer for some seconds. */
export class QueueLag {
  readonly #options: QueueLagOptions
  readonly #now: () => number
  #known: { lag: Promise<Lag | null>, at: number } | null = null

  constructor (options: QueueLagOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** The lag, at most some seconds old. Null when it cannot be had; never rejects. */
  async read (): Promise<Lag | null> {
    if (this.#known === null || this.#now() - this.#known.at >= KEEP_MS) this.#known = { lag: this.#count(), at: this.#now() }
    const { lag } = this.#known
    const found = await lag
    if (found === null && this.#known.lag === lag) this.#known = null
    return found
  }

  async #count (): Promise<Lag | null> {
    const { pool, maxPairs, log } = this.#options
    try {
      const rows = await pool.call<LagRow & Record<string, unknown>>((sql, schema) => sql`
        select * from ${schema}.lag_v1(${maxPairs}::int, ${MOST_PARTITIONS}::int, ${COUNT_MS}::int)`, QUERY_TIMEOUT_MS)
      return lagOf(rows)
    } catch (error) {
      log.warn({ err: error }, 'counting the lag of queues failed')
      return null
    }
  }
}

function lagOf (rows: readonly LagRow[]): Lag {
  const shown: PairLag[] = []
  let rest: Lag['rest'] = null
  let seen = 0
  let summed = 0
  let partial = 0
  for (const row of rows) {
    const { queue, consumer_group: group, messages, partitions, oldest_seconds: oldestSeconds } = row
    seen += row.pairs
    partial += row.partial
    if (queue !== null && group !== null) {
      shown.push({ queue, group, messages, partitions, oldestSeconds })
    } else {
      rest = { messages, partitions, oldestSeconds }
      summed = row.pairs
    }
  }
  return { shown, rest, pairs: { summed, partial, unseen: (rows[0]?.total ?? 0) - seen } }
}
