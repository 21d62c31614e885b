import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { untraced } from '../plugins/telemetry.ts'
import type { BrokerFigures } from '../services/channels/broker.ts'
import { metricsSchema } from './schemas/metrics.ts'

/** GET /metrics: this process, as JSON */
export async function metricsRoutes (app: FastifyInstance): Promise<void> {
  const route = { config: { ...exemptFromPressure, ...untraced, access: 'public' }, schema: metricsSchema, logLevel: 'warn' } as const

  app.get('/metrics', route, async () => {
    const { uptimeSeconds, requests, messages, pool } = app.metrics.figures()
    return {
      uptime: uptimeSeconds,
      requests: { total: requests.total, rate: requests.perSecond },
      messages: { total: messages.total, rate: messages.perSecond },
      database: { poolSize: pool.size, idleConnections: pool.idle, waitingRequests: pool.waiting },
      ...(app.hasDecorator('channels') ? { channels: channelsOf(app.channels.stats()) } : {}),
      memory: process.memoryUsage(),
      cpu: process.cpuUsage()
    }
  })
}

/** Where several processes are one server, the channels are in the main one. */
function channelsOf ({ channels, clients, requests, queued, claims }: BrokerFigures): object {
  return { channels, clients, queued, exchanges: requests - queued, claims }
}
