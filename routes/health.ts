import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { untraced } from '../plugins/telemetry.ts'
import { packageVersion } from '../services/package-root.ts'
import { workerNumber } from '../services/worker-number.ts'
import { healthSchema } from './schemas/health.ts'

// A probe must be answered quickly, also when the database is not.
const CHECK_TIMEOUT_MS = 2000

/** GET /health: 200 when the database answers, else 503. */
export async function healthRoutes (app: FastifyInstance, { workerId }: { workerId: string }): Promise<void> {
  const version = packageVersion()

  app.get('/health', { config: { ...exemptFromPressure, ...untraced, access: 'public' }, schema: healthSchema, logLevel: 'warn' }, async (request, reply) => {
    let isConnected = true
    try {
      await app.postgres.call(sql => sql`select 1`, CHECK_TIMEOUT_MS)
    } catch (error) {
      isConnected = false
      request.log.warn({ err: error }, 'the database does not answer')
    }
    return await reply.code(isConnected ? 200 : 503).send({
      status: isConnected ? 'healthy' : 'unhealthy',
      database: isConnected ? 'connected' : 'disconnected',
      server: 'Regent',
      version,
      worker_id: workerNumber(workerId),
      queen: { worker_id: workerNumber(workerId), status: 'active' },
      load: app.queue.load,
      pushes: app.queue.failover.state,
      file_buffer: app.queue.failover.buffer,
      shared_state: {}
    })
  })
}
