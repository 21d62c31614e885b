import { measure } from '../measure.ts'
import type { TransactJob } from '../jobs.ts'
import type { Workload } from './context.ts'
import { fillQueue } from './pop.ts'
import { storedIn } from './push.ts'
import { backlogFor } from './sizes.ts'
import { warmUpByBacklogs } from './warm-up.ts'

const CONNECTIONS = 16
const BATCH = 10
const TRIAL = 10_000

/** From one queue to another: the acknowledgement of ten messages and the push of ten are one transaction. */
export const transactionWorkload: Workload = {
  name: 'transaction',
  title: `pop ${BATCH}, acknowledge them and push ${BATCH} in a transaction`,
  section: 'consume',
  connections: CONNECTIONS,
  run: async context => {
    const { url, pid } = await context.startService()
    const backlog = async (queue: string, messages: number): Promise<TransactJob> => {
      await fillQueue(context, url, queue, messages)
      return { kind: 'transact', url, queue, target: `${queue}-next`, connections: CONNECTIONS, messages, batch: BATCH }
    }
    const perSecond = await warmUpByBacklogs(context.warmUpSeconds, TRIAL, async (queue, messages) => await context.generator.perform(await backlog(queue, messages)))
    const job = await backlog('orders', backlogFor(perSecond, context.seconds))
    return await measure(job, context, { serverPid: pid, stored: async () => await storedIn(context, job.target) })
  }
}
