import type { FastifyInstance } from 'fastify'
import { parkedReplicas, postgresStats, queueLag, queueOperations, retentionHistory, workerMetrics } from '../services/analytics/history.ts'
import { timeRange } from '../services/analytics/range.ts'
import type { TimeRange } from '../services/analytics/range.ts'
import { systemMetrics } from '../services/analytics/system.ts'
import { fieldError } from '../services/json/field-error.ts'
import { Query } from './query.ts'
import { WORKER_NUMBER, analyticsSchemas } from './schemas/analytics.ts'

/** GET /api/v1/analytics/…: the history of processes, queues and retention, and PostgreSQL's own figures. */
export async function analyticsRoutes (app: FastifyInstance): Promise<void> {
  app.get('/api/v1/analytics/system-metrics', { schema: analyticsSchemas.systemMetrics, config: { access: 'read' } }, async request => {
    const query = new Query(request)
    return await systemMetrics(app.postgres, rangeOf(query), query.name('hostname'), query.name('workerId'))
  })

  app.get('/api/v1/analytics/worker-metrics', { schema: analyticsSchemas.workerMetrics, config: { access: 'read' } }, async request => {
    const query = new Query(request)
    return await workerMetrics(app.postgres, rangeOf(query), { hostname: query.name('hostname'), worker: workerOf(query) })
  })

  app.get('/api/v1/analytics/queue-lag', { schema: analyticsSchemas.queueLag, config: { access: 'read', queueIn: 'query' } }, async request => {
    const query = new Query(request)
    return await queueLag(app.postgres, rangeOf(query), query.name('queue'))
  })

  app.get('/api/v1/analytics/queue-ops', { schema: analyticsSchemas.queueOperations, config: { access: 'read', queueIn: 'query' } }, async request => {
    const query = new Query(request)
    return await queueOperations(app.postgres, rangeOf(query), query.name('queue'))
  })

  app.get('/api/v1/analytics/queue-parked-replicas', { schema: analyticsSchemas.parkedReplicas, config: { access: 'read', queueIn: 'query' } }, async request => {
    const query = new Query(request)
    return await parkedReplicas(app.postgres, rangeOf(query), query.name('queue'))
  })

  app.get('/api/v1/analytics/retention', { schema: analyticsSchemas.retention, config: { access: 'read', queueIn: 'query' } }, async request => {
    const query = new Query(request)
    return await retentionHistory(app.postgres, rangeOf(query), query.name('queue'))
  })

  app.get('/api/v1/analytics/postgres-stats', { schema: analyticsSchemas.postgresStats, config: { access: 'read' } }, async () => await postgresStats(app.postgres))
}

function rangeOf (query: Query): TimeRange {
  return timeRange(query.time('from'), query.time('to'))
}

/** Workers are known by number here. */
function workerOf (query: Query): number | null {
  const text = query.text('workerId')
  if (text === null) return null
  if (!WORKER_NUMBER.test(text)) throw fieldError('workerId', 'type', 'must be a whole number')
  return Number(text)
}
