import { measure } from '../measure.ts'
import type { ConsumeJob } from '../jobs.ts'
import type { BenchContext, Workload } from './context.ts'

const PARTITIONS = 100
const FILL_BATCH = 100
const FILL_CONNECTIONS = 32
const MOST_MESSAGES = 600_000
const TRIAL_SHARE = 10
// Consumers of large batches are few, and a backlog is many rounds of all of them: else it measures how a convoy ends.
const LARGE_BATCH_CONNECTIONS = 16
const LEAST_ROUNDS = 20

interface Kind { name: string, title: string, batch: number, autoAck: boolean, floor: string, trial: number }

const KINDS: Kind[] = [
  { name: 'pop-1000-ack', title: 'pop 1000, acknowledge the batch', batch: 1000, autoAck: false, floor: 'take-1000', trial: 100_000 },
  { name: 'pop-1-ack', title: 'pop 1, acknowledge it', batch: 1, autoAck: false, floor: 'take-1', trial: 5000 },
  { name: 'pop-1000-autoack', title: 'pop 1000, automatic acknowledgement', batch: 1000, autoAck: true, floor: 'take-1000', trial: 100_000 }
]

/** Consuming a backlog that was pushed 100 at a time to 100 partitions. */
export function consumeWorkloads (most: number): Workload[] {
  return KINDS.map(kind => workload(kind, consumersOf(kind.batch, most)))
}

/** How many consumers share a backlog. */
export function consumersOf (batch: number, most: number): number {
  return batch === 1 ? most : Math.min(most, LARGE_BATCH_CONNECTIONS)
}

function workload ({ name, title, batch, autoAck, floor, trial }: Kind, connections: number): Workload {
  return {
    name,
    title: `${title}, ${PARTITIONS} partitions`,
    connections,
    floor,
    run: async (context: BenchContext) => {
      const { options: { seconds, warmUpSeconds }, generator, serverUrl, serverPid, database } = context
      const drain = async (queue: string, messages: number): Promise<ConsumeJob> => {
        await generator.perform({ kind: 'fill', url: serverUrl, queue, connections: FILL_CONNECTIONS, messages, batch: FILL_BATCH, partitions: PARTITIONS })
        return { kind: 'consume', url: serverUrl, queue, connections, messages, batch, autoAck }
      }
      // The warm-up is a small backlog; how fast it goes says how large the real one has to be.
      const warmUp = await generator.perform(await drain(`${name}-trial`, warmUpSeconds === 0 ? trial / TRIAL_SHARE : trial))
      const least = warmUpSeconds === 0 ? 0 : LEAST_ROUNDS * connections * batch
      const job = await drain(name, backlogFor(warmUp.messages / warmUp.seconds, seconds, least))
      return await measure(job, { database, serverPid, generator })
    }
  }
}

/** A backlog that lasts about so long, in whole rounds of all partitions. */
export function backlogFor (perSecond: number, seconds: number, least = 0): number {
  const round = PARTITIONS * FILL_BATCH
  return Math.ceil(Math.max(Math.min(perSecond * seconds, MOST_MESSAGES), least) / round) * round
}
