import { measure } from '../measure.ts'
import type { PushJob } from '../jobs.ts'
import type { BenchContext, Workload } from './context.ts'

/** Pushing, by messages per request and number of partitions. */
export function pushWorkloads (connections: number): Workload[] {
  return [1, 10, 100].flatMap(batch => [1, 100, 1000].map(partitions => ({
    name: `push-${batch}x${partitions}`,
    title: `push, ${batch} per request, ${partitions} partition${partitions === 1 ? '' : 's'}`,
    connections,
    floor: `insert-${batch}`,
    run: async (context: BenchContext) => {
      const { options: { seconds, warmUpSeconds }, generator, serverUrl, serverPid, database } = context
      const queue = `push-${batch}-${partitions}`
      const job: PushJob = { kind: 'push', url: serverUrl, queue, connections, seconds, batch, partitions, firstNumber: 0 }
      if (warmUpSeconds > 0) job.firstNumber = (await generator.perform({ ...job, seconds: warmUpSeconds })).nextNumber
      return await measure(job, { database, serverPid, generator, stored: async () => await headsOf(context, queue) })
    }
  })))
}

async function headsOf ({ database: { sql } }: BenchContext, queue: string): Promise<number> {
  const [row] = await sql<{ total: string }[]>`
    select coalesce(sum(p.head), 0)::text as total from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = ${queue}`
  return Number(row?.total)
}
