import { startServer } from '../child.ts'
import { measure } from '../measure.ts'
import type { PushJob } from '../jobs.ts'
import type { Workload } from './context.ts'

/** The same requests against a Fastify route that does nothing but parse them and run `select 1`. */
export function bareRouteWorkload (connections: number): Workload {
  return {
    name: 'bare-route',
    title: 'ceiling: Fastify route that parses the body of 1 and awaits `select 1`',
    connections,
    run: async ({ options: { seconds, warmUpSeconds }, generator, database }) => {
      const server = await startServer('bare-server.js', { DATABASE_URL: database.url })
      try {
        const job: PushJob = { kind: 'push', url: server.url, queue: 'push-1-100', connections, seconds, batch: 1, partitions: 100, firstNumber: 0 }
        if (warmUpSeconds > 0) await generator.perform({ ...job, seconds: warmUpSeconds })
        return await measure(job, { database, serverPid: server.pid, generator })
      } finally {
        await server.stop()
      }
    }
  }
}
