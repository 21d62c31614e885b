import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { scrape } from '../services/metrics/prometheus.ts'

/** GET /metrics (this process, as JSON) and /metrics/prometheus */
export async function metricsRoutes (app: FastifyInstance, { workerId }: { workerId: string }): Promise<void> {
  const route = { config: exemptFromPressure, logLevel: 'warn' } as const

  app.get('/metrics', route, async () => {
    const { uptimeSeconds, requests, messages, pool } = app.metrics.figures()
    return {
      uptime: uptimeSeconds,
      requests: { total: requests.total, rate: requests.perSecond },
      messages: { total: messages.total, rate: messages.perSecond },
      database: { poolSize: pool.size, idleConnections: pool.idle, waitingRequests: pool.waiting },
      memory: process.memoryUsage(),
      cpu: process.cpuUsage()
    }
  })

  app.get('/metrics/prometheus', route, async (_request, reply) => {
    const text = await scrape(app.postgres, { figures: app.metrics.figures(), workerId, failover: app.queue.failover })
    reply.removeHeader('access-control-allow-origin')
    return await reply.header('cache-control', 'no-cache').type('text/plain; version=0.0.4; charset=utf-8').send(text)
  })
}
