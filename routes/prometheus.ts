import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { untraced } from '../plugins/telemetry.ts'
import { reportOf } from '../services/metrics/process-report.ts'
import type { ProcessReport } from '../services/metrics/process-report.ts'
import { scrape } from '../services/metrics/prometheus.ts'
import { QueueLag } from '../services/metrics/queue-lag.ts'
import { prometheusSchema } from './schemas/prometheus.ts'

export interface PrometheusRouteOptions {
  workerId: string
  /** Pairs of queue and consumer group that are shown one by one. */
  metricsMaxQueues: number
  fileBufferMaxMb: number
  /** Asks the other processes of this server; undefined: there are none. */
  reportsOfOthers: (() => Promise<ProcessReport[]>) | undefined
}

const MB = 1024 * 1024

/** GET /metrics/prometheus */
export async function prometheusRoute (app: FastifyInstance, options: PrometheusRouteOptions): Promise<void> {
  const { workerId, metricsMaxQueues, fileBufferMaxMb, reportsOfOthers } = options
  const sources = { engine: app.queue, pool: app.postgres, metrics: app.metrics }
  const lag = new QueueLag({ pool: app.postgres, maxPairs: metricsMaxQueues, log: app.log })
  const bufferMaxBytes = app.fileBuffer === null ? 0 : fileBufferMaxMb * MB

  app.get('/metrics/prometheus', { config: { ...exemptFromPressure, ...untraced, access: 'public' }, schema: prometheusSchema, logLevel: 'warn' }, async (_request, reply) => {
    const text = await scrape(app.postgres, {
      processes: [reportOf(workerId, sources), ...await reportsOfOthers?.() ?? []],
      failover: app.queue.failover,
      bufferMaxBytes,
      channels: { stats: app.channels.stats(), connections: app.channels.broker.connectionsByKind() },
      lag
    })
    reply.removeHeader('access-control-allow-origin')
    return await reply.header('cache-control', 'no-cache').type('text/plain; version=0.0.4; charset=utf-8').send(text)
  })
}
