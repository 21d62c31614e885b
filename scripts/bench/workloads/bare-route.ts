import { measure } from '../measure.ts'
import type { PushJob } from '../jobs.ts'
import type { Workload } from './context.ts'
import { PARTITIONS } from './sizes.ts'

const CONNECTIONS = 64

/** The requests of `push-1` against a Fastify route that does nothing but parse them and run `select 1`. */
export const bareRouteWorkload: Workload = {
  name: 'bare-route',
  title: 'Fastify route that parses the body of 1 and awaits `select 1`',
  section: 'floor',
  connections: CONNECTIONS,
  run: async context => {
    const { url, pid } = await context.startServer('bare-server.js')
    const job: PushJob = { kind: 'push', url, queue: 'push', connections: CONNECTIONS, seconds: context.seconds, batch: 1, partitions: PARTITIONS, firstNumber: 0 }
    if (context.warmUpSeconds > 0) await context.generator.perform({ ...job, seconds: context.warmUpSeconds })
    return await measure(job, context, { serverPid: pid })
  }
}
