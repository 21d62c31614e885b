/** What the load generator, a process of its own, can be told to do. */
export type Job = PushJob | FillJob | ConsumeJob | DrainJob | InsertJob | TakeRowsJob

/** Push for a while, each request to one partition, all in turn. */
export interface PushJob {
  kind: 'push'
  url: string
  queue: string
  connections: number
  seconds: number
  batch: number
  partitions: number
  /** Messages are numbered from here on; the numbers are in their transaction ids. */
  firstNumber: number
}

/** Push messages numbered 0 to `messages` - 1. */
export interface FillJob {
  kind: 'fill'
  url: string
  queue: string
  connections: number
  messages: number
  batch: number
  partitions: number
}

/** Pop, and acknowledge unless `autoAck`, until a backlog of `messages` is gone. */
export interface ConsumeJob {
  kind: 'consume'
  url: string
  queue: string
  connections: number
  messages: number
  batch: number
  autoAck: boolean
}

/** Switch push maintenance off and wait until the file buffer is empty. */
export interface DrainJob {
  kind: 'drain'
  url: string
}

/** The floor of pushing: plain inserts. */
export interface InsertJob {
  kind: 'insert'
  url: string
  table: string
  connections: number
  seconds: number
  batch: number
  partitions: number
  firstNumber: number
}

/** The floor of consuming: select and delete batches until `rows` are gone. */
export interface TakeRowsJob {
  kind: 'take-rows'
  url: string
  table: string
  connections: number
  rows: number
  batch: number
  partitions: number
}

export interface LoadResult {
  seconds: number
  requests: number
  messages: number
  /** Of a request; of a pop with its acknowledgement; of a statement or a pair of them. */
  p50Ms: number
  p99Ms: number
  nextNumber: number
  /** What was wrong with answers: none, or the figures mean nothing. */
  faults: string[]
}

/** Collects latencies and faults of one job. */
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

  result (seconds: number, nextNumber = 0): LoadResult {
    const sorted = Float64Array.from(this.#latencies).sort()
    const quantile = (share: number): number => sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0
    return {
      seconds,
      requests: this.requests,
      messages: this.messages,
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
      nextNumber,
      faults: [...this.#faults].map(([text, times]) => times === 1 ? text : `${text} (${times} times)`)
    }
  }
}
