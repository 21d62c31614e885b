import type { CallKind } from '../database/pool.ts'
import type { Counters } from './counters.ts'
import type { HistogramSamples } from './exposition.ts'
import type { Histogram } from './histogram.ts'
import type { RequestTimes } from './request-times.ts'

export type LaneName = 'push' | 'ack' | 'transaction'

/** A lane, as far as it is measured. */
export interface LaneMeasures {
  readonly load: { waiting: number, calls: number }
  readonly waits: Histogram
  readonly sizes: Histogram
}

/** What is measured where it happens, and read when somebody asks. */
export interface Sources {
  engine: {
    readonly counters: Counters
    readonly lanes: Record<LaneName, LaneMeasures>
    readonly wakes: Histogram
    readonly load: { parkedPops: number }
  }
  pool: { readonly times: Readonly<Record<CallKind, Histogram>>, readonly failures: number }
  metrics: { readonly requestTimes: RequestTimes, readonly loopDelays: Histogram }
}

/** The histograms of a process; their families are in observed-families.ts. */
export interface ObservedHistograms {
  requests: HistogramSamples
  laneWaits: HistogramSamples
  laneSizes: HistogramSamples
  calls: HistogramSamples
  wakes: HistogramSamples
  messageAges: HistogramSamples
  loopDelays: HistogramSamples
}

/** What one process has observed since it started, in a form that can be sent to another one. */
export interface Observed {
  lanes: { lane: LaneName, waiting: number, calls: number }[]
  parkedPops: number
  counts: {
    stored: number
    delivered: number
    redelivered: number
    acknowledged: number
    failed: number
    deadLettered: number
    expiredLeases: number
    callFailures: number
  }
  histograms: ObservedHistograms
}

const LANES = ['push', 'ack', 'transaction'] as const satisfies readonly LaneName[]
const CALLS = ['push', 'pop', 'ack', 'transaction', 'other'] as const satisfies readonly CallKind[]

/** Read what was observed. */
export function observedBy ({ engine, pool, metrics }: Sources): Observed {
  const { counters, lanes } = engine
  const total = counters.sinceStart()
  return {
    lanes: LANES.map(lane => ({ lane, ...lanes[lane].load })),
    parkedPops: engine.load.parkedPops,
    counts: {
      stored: total.pushMessages,
      delivered: total.popMessages,
      redelivered: counters.setbacks.redelivered,
      acknowledged: total.ackSuccess,
      failed: total.ackFailed,
      deadLettered: total.deadLetters,
      expiredLeases: counters.setbacks.expiredLeases,
      callFailures: pool.failures
    },
    histograms: {
      requests: metrics.requestTimes.samples,
      laneWaits: LANES.map(lane => [{ lane }, lanes[lane].waits.figures] as const),
      laneSizes: LANES.map(lane => [{ lane }, lanes[lane].sizes.figures] as const),
      calls: CALLS.map(call => [{ call }, pool.times[call].figures] as const),
      wakes: alone(engine.wakes),
      messageAges: alone(counters.messageAges),
      loopDelays: alone(metrics.loopDelays)
    }
  }
}

function alone (histogram: Histogram): HistogramSamples {
  return [[{}, histogram.figures]]
}
