import { count, described, number, object } from './shared.ts'
import type { Operation, Schema } from './shared.ts'

const WORK: Schema = object({ total: count, rate: described(number, 'A second, lately') })

export const metricsSchema: Operation = {
  operationId: 'getMetrics',
  summary: 'Figures of this process',
  tags: ['status'],
  response: {
    200: {
      description: 'As they are now',
      ...object({
        uptime: described(number, 'Seconds'),
        requests: WORK,
        messages: WORK,
        database: object({ poolSize: count, idleConnections: count, waitingRequests: count }),
        channels: described(object({ channels: count, clients: count, queued: count, exchanges: count, claims: count }), 'Where several processes are one server, only the main one has them'),
        memory: described(object({ rss: count, heapTotal: count, heapUsed: count, external: count, arrayBuffers: count }), 'Bytes'),
        cpu: described(object({ user: count, system: count }), 'Microseconds')
      }, ['uptime', 'requests', 'messages', 'database', 'memory', 'cpu'])
    }
  }
}
