import { measure } from '../measure.ts'
import type { ConsumeJob } from '../jobs.ts'
import type { Workload } from './context.ts'
import { fillQueue } from './pop.ts'
import { backlogFor } from './sizes.ts'
import { warmUpByBacklogs } from './warm-up.ts'

const GROUPS = 10
const BATCH = 100
const TRIAL = 20_000

/**
 * Ten consumer groups with a consumer each, and everything goes to every one of them; beside it, in the same run, what a
 * single group with its one consumer gets.
 */
export const fanOutWorkload: Workload = {
  name: 'fan-out-10',
  title: `${GROUPS} consumer groups read everything, pop ${BATCH} and acknowledge`,
  section: 'consume',
  connections: GROUPS,
  run: async context => {
    const { url, pid } = await context.startService()
    const job = (queue: string, groups: string[], messages: number): ConsumeJob =>
      ({ kind: 'consume', url, queue, connections: 1, groups, messages, batch: BATCH, autoAck: false })
    const perSecond = await warmUpByBacklogs(context.warmUpSeconds, TRIAL, async (queue, messages) => {
      await fillQueue(context, url, queue, messages)
      return await context.generator.perform(job(queue, ['one'], messages))
    })
    // Ten groups take longer over it; a single one has half the time.
    const messages = backlogFor(perSecond, context.seconds / 2)
    await fillQueue(context, url, 'fan-out', messages)
    const one = await context.generator.perform(job('fan-out', ['one'], messages))
    const measurement = await measure(job('fan-out', Array.from({ length: GROUPS }, (_, i) => `group-${i}`), messages), context, { serverPid: pid })
    const oneGroupPerSecond = one.messages / one.seconds
    return {
      ...measurement,
      figures: { oneGroupPerSecond, timesOneGroup: measurement.messages / measurement.seconds / oneGroupPerSecond },
      faults: [...measurement.faults, ...one.faults]
    }
  }
}
