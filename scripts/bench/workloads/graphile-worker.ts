import type { BenchDatabase } from '../cluster.ts'
import type { GraphileRunJob } from '../jobs.ts'
import { measure } from '../measure.ts'
import type { Workload } from './context.ts'

const PUSHES = [{ batch: 100, connections: 16, title: 'graphile-worker: add_jobs of 100' }, { batch: 1, connections: 64, title: 'graphile-worker: addJob' }]
const RUN_CONNECTIONS = 16
const RUN_PER_SECOND = 2000

/** The same messages as jobs of graphile-worker, which runs inside the generator: no HTTP in between. */
export const graphileWorkloads: Workload[] = [
  ...PUSHES.map(({ batch, connections, title }): Workload => ({
    name: `graphile-push-${batch}`,
    title,
    section: 'peer',
    connections,
    run: async context => await measure({ kind: 'graphile-push', url: context.database.url, connections, batch, seconds: context.seconds, warmUpSeconds: context.warmUpSeconds }, context,
      { serverPid: null, stored: async () => await jobsIn(context.database) })
  })),
  {
    name: 'graphile-run',
    title: 'graphile-worker: run jobs that do nothing',
    section: 'peer',
    connections: RUN_CONNECTIONS,
    run: async context => {
      const { seconds, warmUpSeconds, database } = context
      const job: GraphileRunJob = { kind: 'graphile-run', url: database.url, connections: RUN_CONNECTIONS, messages: RUN_PER_SECOND * seconds, warmUpMessages: RUN_PER_SECOND * warmUpSeconds }
      const measurement = await measure(job, context, { serverPid: null })
      const left = await jobsIn(database)
      if (left > 0) measurement.faults.push(`${left} jobs are left`)
      return measurement
    }
  }
]

async function jobsIn ({ sql }: BenchDatabase): Promise<number> {
  const [row] = await sql<{ total: number }[]>`select count(*)::float8 as total from graphile_worker._private_jobs`
  return row?.total ?? 0
}
