import { hostname } from 'node:os'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Metrics } from '../services/metrics/metrics.ts'
import type { Identity } from '../services/metrics/packets.ts'
import { reportOf } from '../services/metrics/process-report.ts'
import { workerNumber } from '../services/worker-number.ts'
import type { ProcessRole } from '../services/workers/role.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts and samples of this process, and their way into the history. */
    metrics: Metrics
  }
}

export interface MetricsPluginOptions {
  workerId: string
  metricsSampleMs: number
  metricsAggregateSeconds: number
  role: ProcessRole | undefined
}

async function metricsPlugin (app: FastifyInstance, { workerId, metricsSampleMs, metricsAggregateSeconds, role }: MetricsPluginOptions): Promise<void> {
  const host = hostname()
  const metrics = new Metrics({
    pool: app.postgres,
    engine: app.queue,
    identity: (): Identity => ({ hostname: host, workerId, worker: workerNumber(workerId), pid: process.pid, port: portOf(app) }),
    sampleMs: metricsSampleMs,
    aggregateSeconds: metricsAggregateSeconds,
    log: app.log
  })
  app.decorate('metrics', metrics)
  if (role?.kind === 'worker') role.onReport(() => reportOf(workerId, { engine: app.queue, pool: app.postgres, metrics }))
  app.addHook('onRequest', (request, reply, done) => {
    metrics.requestStarted()
    const startedAt = performance.now()
    // Comes once for every answer, also for one that nobody is there to take.
    reply.raw.once('close', () => {
      const status = reply.raw.writableFinished ? reply.raw.statusCode : null
      metrics.requestEnded({ method: request.method, route: routeOf(request, app.prefix), status }, performance.now() - startedAt)
    })
    done()
  })
  app.addHook('onReady', async () => { metrics.start() })
  app.addHook('onClose', async () => { await metrics.close() })
}

/** The pattern of a request's route as it is without the prefix that the service is mounted under; undefined: it has none. */
function routeOf ({ routeOptions: { url } }: FastifyRequest, prefix: string): string | undefined {
  return url?.slice(prefix.length)
}

/** Where the application listens; 0: nowhere, or at a socket of the file system. */
function portOf (app: FastifyInstance): number {
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

export default fp(metricsPlugin, { name: 'regent-metrics', fastify: '5.x', dependencies: ['regent-postgres', 'regent-queue'] })
