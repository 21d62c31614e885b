import { measure } from '../measure.ts'
import type { AutocannonPushJob, PushJob } from '../jobs.ts'
import type { BenchContext, Workload } from './context.ts'
import { PARTITIONS } from './sizes.ts'

const QUEUE = 'push'

/** Pushing by the hundred, by the ten and one by one. */
export const pushWorkloads: Workload[] = [{ batch: 100, connections: 16 }, { batch: 10, connections: 64 }, { batch: 1, connections: 64 }].map(({ batch, connections }) => ({
  name: `push-${batch}`,
  title: `push, ${batch} per request`,
  section: 'push',
  connections,
  compareWith: [`insert-${batch}`, ...(batch === 10 ? [] : [`pg-boss-push-${batch}`, `graphile-push-${batch}`]), ...(batch === 1 ? ['bare-route'] : [])],
  isScaled: true,
  run: async context => {
    const { url, pid } = await context.startService()
    const job: PushJob = { kind: 'push', url, queue: QUEUE, connections, seconds: context.seconds, batch, partitions: PARTITIONS, firstNumber: 0 }
    if (context.warmUpSeconds > 0) job.firstNumber = (await context.generator.perform({ ...job, seconds: context.warmUpSeconds })).nextNumber
    return await measure(job, context, { serverPid: pid, stored: async () => await storedIn(context, QUEUE) })
  }
}))

/** The load of `push-1` made by autocannon: a check on our own load generator by one that others trust. */
export const autocannonWorkload: Workload = {
  name: 'push-1-autocannon',
  title: 'push, 1 per request, by autocannon',
  section: 'push',
  connections: 64,
  compareWith: ['push-1'],
  run: async context => {
    const { url, pid } = await context.startService()
    const job: AutocannonPushJob = { kind: 'push-autocannon', url, queue: QUEUE, connections: 64, seconds: context.seconds, batch: 1, partitions: PARTITIONS, firstNumber: 0 }
    if (context.warmUpSeconds > 0) job.firstNumber = (await context.generator.perform({ ...job, seconds: context.warmUpSeconds })).nextNumber
    // The warm-up's last requests may be stored after the measurement has begun.
    return await measure(job, context, { serverPid: pid, stored: async () => await storedIn(context, QUEUE), mostUntold: 2 * job.connections * job.batch })
  }
}

/** Messages that a queue has ever got. */
export async function storedIn ({ database: { sql } }: BenchContext, queue: string): Promise<number> {
  const [row] = await sql<{ total: number }[]>`
    select coalesce(sum(p.head), 0)::float8 as total from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = ${queue}`
  return row?.total ?? 0
}
