import { measure } from '../measure.ts'
import type { Measurement } from '../measure.ts'
import type { FlowJob } from '../jobs.ts'
import type { BenchContext } from './context.ts'

/** Messages on their way at once while the greatest rate is looked for. */
const WINDOW = 512
const LEAST_WARM_UP_SECONDS = 1

export interface FlowShape extends Pick<FlowJob, 'producers' | 'pushBatch' | 'partitions' | 'consumers' | 'popBatch'> {
  /** Messages per second; or that share of the greatest rate that goes through, found out first. */
  rate: number | { shareOfPeak: number }
}

/**
 * Producers and waiting consumers at a fixed rate; latency is from when a push was due to when a consumer has the message.
 * @param prepare what comes before; returns the number of the first message
 */
export async function measureFlow (context: BenchContext, shape: FlowShape, prepare = async (_url: string): Promise<number> => 0): Promise<Measurement> {
  const { url, pid } = await context.startService()
  const job: FlowJob = { kind: 'flow', url, queue: 'flow', seconds: context.seconds, window: WINDOW, firstNumber: 0, ...shape, rate: null }
  const figures: Record<string, number> = {}
  job.firstNumber = await prepare(url)
  // Never none: the partitions are made by it, too.
  const warmUpSeconds = Math.max(context.warmUpSeconds, LEAST_WARM_UP_SECONDS)
  if (typeof shape.rate === 'number') {
    job.rate = shape.rate
    job.firstNumber = (await context.generator.perform({ ...job, seconds: warmUpSeconds })).nextNumber
  } else {
    const warmUp = await context.generator.perform({ ...job, seconds: warmUpSeconds })
    const peak = await context.generator.perform({ ...job, firstNumber: warmUp.nextNumber, seconds: context.seconds / 2 })
    figures.peakPerSecond = peak.messages / peak.seconds
    job.firstNumber = peak.nextNumber
    job.rate = Math.round(figures.peakPerSecond * shape.rate.shareOfPeak)
  }
  figures.rate = job.rate
  const measurement = await measure(job, context, { serverPid: pid })
  const calls = measurement.statements?.filter(({ isTop }) => isTop).reduce((sum, statement) => sum + statement.calls, 0)
  if (calls !== undefined) figures.statementsPerDelivery = calls / measurement.messages
  return { ...measurement, figures: { ...measurement.figures, ...figures } }
}
