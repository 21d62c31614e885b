import { count, described, number, object, orNull, text } from './shared.ts'
import type { Operation, Schema } from './shared.ts'

/** What the file buffer of this process holds. */
export const BUFFER: Schema = object({ state: text, messages: count, bytes: count, oldestAgeMs: orNull(number), quarantined: count })

export const healthSchema: Operation = {
  operationId: 'getHealth',
  summary: 'Whether the database answers, and what is waiting here',
  tags: ['status'],
  response: {
    200: { description: 'It does', ...health('healthy', 'connected') },
    503: { description: 'It does not', ...health('unhealthy', 'disconnected') }
  }
}

function health (status: string, database: string): Schema {
  return object({
    status: { const: status },
    database: { const: database },
    server: { const: 'Regent' },
    version: text,
    worker_id: described(count, 'The number that the name of this process ends with'),
    queen: object({ worker_id: count, status: { const: 'active' } }),
    load: object({ parkedPops: count, pushesWaiting: count, acksWaiting: count, transactionsWaiting: count, dedupBytes: count }),
    pushes: { enum: ['direct', 'away', 'maintenance', 'draining'], description: 'Where pushes go: to the database, or to the file buffer and why' },
    file_buffer: { anyOf: [BUFFER, { type: 'null' }], description: 'Null when there is none' },
    shared_state: object({})
  })
}
