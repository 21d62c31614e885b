import { measure } from '../measure.ts'
import type { PushJob } from '../jobs.ts'
import type { Workload } from './context.ts'
import { fillQueue } from './pop.ts'
import { FILL_BATCH, PARTITIONS, backlogFor } from './sizes.ts'

const BUFFER_CONNECTIONS = 64
const DRAINED_PER_SECOND = 100_000
// Nothing listens there.
const NOWHERE = 'postgres://postgres@127.0.0.1:1/postgres'

/** Pushing to the file buffer while the database is away. */
export const bufferWorkload: Workload = {
  name: 'buffer-100x100',
  title: `push, ${FILL_BATCH} per request, database away`,
  section: 'push',
  connections: BUFFER_CONNECTIONS,
  compareWith: ['insert-100'],
  run: async context => {
    const { url, pid } = await context.startService({ DATABASE_URL: NOWHERE, LOG_LEVEL: 'silent' })
    const job: PushJob = { kind: 'push', url, queue: 'buffer', connections: BUFFER_CONNECTIONS, seconds: context.seconds, batch: FILL_BATCH, partitions: PARTITIONS, firstNumber: 0 }
    if (context.warmUpSeconds > 0) job.firstNumber = (await context.generator.perform({ ...job, seconds: context.warmUpSeconds })).nextNumber
    return await measure(job, context, { serverPid: pid, stored: async () => await bufferedAt(url) })
  }
}

/** Moving what is in the file buffer to the database. */
export const drainWorkload: Workload = {
  name: 'drain-100x100',
  title: `drain of the file buffer, filled with ${FILL_BATCH} per request`,
  section: 'push',
  connections: 1,
  compareWith: ['insert-100'],
  run: async context => {
    const { url, pid } = await context.startService()
    const { status } = await fetch(`${url}/api/v1/system/maintenance`, { method: 'POST', body: '{"enabled":true}' })
    if (status !== 200) throw new Error(`switching push maintenance on was answered ${status}`)
    const messages = backlogFor(DRAINED_PER_SECOND, context.seconds)
    await fillQueue(context, url, 'drain', messages)
    const measurement = await measure({ kind: 'drain', url }, context, { serverPid: pid })
    if (measurement.messages !== messages) measurement.faults.push(`${messages} messages were pushed, ${measurement.messages} were in the buffer`)
    return measurement
  }
}

async function bufferedAt (url: string): Promise<number> {
  const answer = await fetch(`${url}/api/v1/system/maintenance`)
  return (await answer.json() as { bufferedMessages: number }).bufferedMessages // the route's own shape
}
