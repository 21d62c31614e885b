import type { FastifyInstance } from 'fastify'
import { messageId } from '../services/log/ids.ts'
import { readPushBody } from '../services/json/push-body.ts'
import type { PushResult } from '../services/queue/types.ts'
import { requiredText } from './body.ts'

export interface PushRouteOptions { maxItems: number, maxDepth: number }

/** POST /api/v1/push */
export async function pushRoutes (app: FastifyInstance, limits: PushRouteOptions): Promise<void> {
  app.post('/api/v1/push', async (request, reply) => {
    const { items } = readPushBody(requiredText(request), limits)
    const results = await app.queue.push(items)
    return await reply.code(201).type('application/json').send(`[${results.map(resultText).join(',')}]`)
  })
}

/** One element of the answer. A duplicate carries the first message's id, and no partition or trace. */
function resultText (result: PushResult, index: number): string {
  const id = messageId(result.partitionId, result.position)
  const head = `{"index":${index},"status":"${result.status}","message_id":"${id}","transaction_id":${JSON.stringify(result.transactionId)}`
  const queue = `"queueName":${JSON.stringify(result.queue)}}`
  if (result.status === 'duplicate') return `${head},${queue}`
  const trace = result.traceId === null ? 'null' : `"${result.traceId}"`
  return `${head},"partition_id":"${messageId(result.partitionId, 0)}","trace_id":${trace},${queue}`
}
