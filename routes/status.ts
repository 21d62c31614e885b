import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { timeRange } from '../services/analytics/range.ts'
import { pushedPerUnit, status } from '../services/analytics/status.ts'
import type { QueueFilter } from '../services/analytics/status.ts'
import { workerNumber } from '../services/worker-number.ts'
import { Query } from './query.ts'
import { DEFAULT_UNIT, statusSchemas } from './schemas/status.ts'

const DAY_MS = 86_400_000
const CHECK_TIMEOUT_MS = 2000

/** GET /api/v1/status, /api/v1/status/analytics and /api/v1/status/buffers */
export async function statusRoutes (app: FastifyInstance, { workerId }: { workerId: string }): Promise<void> {
  app.get('/api/v1/status', { schema: statusSchemas.status, config: { access: 'read' } }, async request => {
    const query = new Query(request)
    return await status(app.postgres, timeRange(query.time('from'), query.time('to')), filterOf(query))
  })

  app.get('/api/v1/status/analytics', { schema: statusSchemas.pushed, config: { access: 'read', queueIn: 'query' } }, async request => {
    const query = new Query(request)
    const range = timeRange(query.time('from'), query.time('to'), DAY_MS)
    return await pushedPerUnit(app.postgres, range, query.text('interval') ?? DEFAULT_UNIT, filterOf(query))
  })

  app.get('/api/v1/status/buffers', { schema: statusSchemas.buffers, config: { ...exemptFromPressure, access: 'read' } }, async () => {
    const dbHealthy = await app.postgres.call(sql => sql`select 1`, CHECK_TIMEOUT_MS).then(() => true, () => false)
    const { buffer, state } = app.queue.failover
    const worker = workerNumber(workerId)
    if (buffer === null) return { pending: 0, failed: 0, dbHealthy, worker, state, buffer: null, note: 'This process has no file buffer' }
    const { messages, quarantined, bytes, oldestAgeMs } = buffer
    return { pending: messages, failed: quarantined, dbHealthy, worker, state, buffer: buffer.state, bytes, oldestAgeMs }
  })
}

function filterOf (query: Query): QueueFilter {
  return { queue: query.name('queue'), namespace: query.name('namespace'), task: query.name('task') }
}
