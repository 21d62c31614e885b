import { measure } from '../measure.ts'
import type { Workload } from './context.ts'

const PUSHES = [{ batch: 100, connections: 16, title: 'pg-boss: insert of 100 jobs' }, { batch: 1, connections: 64, title: 'pg-boss: send of a job' }]
const TAKES = [{ batch: 1000, connections: 8, perSecond: 10_000 }, { batch: 1, connections: 16, perSecond: 1000 }]

/** The same messages as jobs of pg-boss, which runs inside the generator: no HTTP in between. */
export const pgBossWorkloads: Workload[] = [
  ...PUSHES.map(({ batch, connections, title }): Workload => ({
    name: `pg-boss-push-${batch}`,
    title,
    section: 'peer',
    connections,
    run: async context => await measure({ kind: 'pg-boss-push', url: context.database.url, connections, batch, seconds: context.seconds, warmUpSeconds: context.warmUpSeconds }, context,
      { serverPid: null })
  })),
  ...TAKES.map(({ batch, connections, perSecond }): Workload => ({
    name: `pg-boss-take-${batch}`,
    title: `pg-boss: fetch of ${batch} and complete`,
    section: 'peer',
    connections,
    run: async context =>
      await measure({ kind: 'pg-boss-take', url: context.database.url, connections, batch, messages: perSecond * context.seconds, warmUpMessages: perSecond * context.warmUpSeconds }, context,
        { serverPid: null })
  }))
]
