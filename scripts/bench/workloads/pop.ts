import { measure } from '../measure.ts'
import type { ConsumeJob } from '../jobs.ts'
import type { BenchContext, Workload } from './context.ts'
import { FILL_BATCH, FILL_CONNECTIONS, PARTITIONS, backlogFor } from './sizes.ts'
import { warmUpByBacklogs } from './warm-up.ts'

const TRIAL_SHARE = 10
// A backlog is many rounds of all consumers: else it measures how a convoy ends.
const LEAST_ROUNDS = 20

interface Kind extends Pick<ConsumeJob, 'batch' | 'autoAck' | 'connections'> {
  name: string
  title: string
  compareWith: string[]
  /** Messages of the first trial, which also warms up: how fast it goes says how large the real backlog has to be. */
  trial: number
}

const KINDS: Kind[] = [
  { name: 'pop-1000-ack', title: 'pop 1000, acknowledge the batch', batch: 1000, autoAck: false, connections: 8, trial: 100_000, compareWith: ['take-1000', 'pg-boss-take-1000'] },
  { name: 'pop-1000-autoack', title: 'pop 1000, automatic acknowledgement', batch: 1000, autoAck: true, connections: 8, trial: 100_000, compareWith: ['take-1000'] },
  { name: 'pop-1-ack', title: 'pop 1, acknowledge it', batch: 1, autoAck: false, connections: 16, trial: 5000, compareWith: ['take-1', 'pg-boss-take-1', 'graphile-run'] }
]

/** Consuming a backlog that was pushed 100 at a time to 100 partitions. */
export const popWorkloads: Workload[] = KINDS.map(({ name, title, compareWith, trial, batch, autoAck, connections }) => ({
  name,
  title,
  compareWith,
  connections,
  section: 'consume',
  isScaled: true,
  run: async context => {
    const { url, pid } = await context.startService()
    const backlog = async (queue: string, messages: number): Promise<ConsumeJob> => {
      await fillQueue(context, url, queue, messages)
      return { kind: 'consume', url, queue, connections, groups: null, messages, batch, autoAck }
    }
    const isTrialOnly = context.warmUpSeconds === 0
    const perSecond = await warmUpByBacklogs(context.warmUpSeconds, isTrialOnly ? trial / TRIAL_SHARE : trial,
      async (queue, messages) => await context.generator.perform(await backlog(queue, messages)))
    const least = isTrialOnly ? 0 : LEAST_ROUNDS * connections * batch
    const job = await backlog('pop', backlogFor(perSecond, context.seconds, least))
    return await measure(job, context, { serverPid: pid })
  }
}))

/** Pushes messages numbered from 0 on. */
export async function fillQueue ({ generator }: BenchContext, url: string, queue: string, messages: number): Promise<void> {
  const { faults } = await generator.perform({ kind: 'fill', url, queue, connections: FILL_CONNECTIONS, messages, batch: FILL_BATCH, partitions: PARTITIONS })
  if (faults.length > 0) throw new Error(`filling a queue went wrong: ${faults.join('; ')}`)
}
