import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { reportOf } from '../services/metrics/process-report.ts'
import type { ProcessReport } from '../services/metrics/process-report.ts'
import { scrape } from '../services/metrics/prometheus.ts'

export interface PrometheusRouteOptions {
  workerId: string
  /** Asks the other processes of this server; undefined: there are none. */
  reportsOfOthers: (() => Promise<ProcessReport[]>) | undefined
}

/** GET /metrics/prometheus */
export async function prometheusRoute (app: FastifyInstance, { workerId, reportsOfOthers }: PrometheusRouteOptions): Promise<void> {
  app.get('/metrics/prometheus', { config: { ...exemptFromPressure, access: 'public' }, logLevel: 'warn' }, async (_request, reply) => {
    const text = await scrape(app.postgres, {
      processes: [reportOf(workerId, app.metrics.figures()), ...await reportsOfOthers?.() ?? []],
      failover: app.queue.failover,
      channels: { stats: app.channels.stats(), connections: app.channels.broker.connectionsByKind() }
    })
    reply.removeHeader('access-control-allow-origin')
    return await reply.header('cache-control', 'no-cache').type('text/plain; version=0.0.4; charset=utf-8').send(text)
  })
}
