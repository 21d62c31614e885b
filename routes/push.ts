import type { FastifyInstance } from 'fastify'
import { contextOf } from '../plugins/telemetry.ts'
import { messageId, messageIdPrefix, positionSuffix } from '../services/log/ids.ts'
import { readPushBody } from '../services/json/push-body.ts'
import type { BufferedMessage, PushResult, StoredMessage } from '../services/queue/types.ts'
import { requiredText } from './body.ts'
import { sendJsonText } from './json-text.ts'
import { pushSchema } from './schemas/push.ts'

export interface PushRouteOptions { maxItems: number, maxDepth: number }

/** POST /api/v1/push */
export async function pushRoutes (app: FastifyInstance, limits: PushRouteOptions): Promise<void> {
  app.post('/api/v1/push', { config: { access: 'produce', queueIn: 'handler' }, schema: pushSchema(limits) }, async (request, reply) => {
    const { items } = readPushBody(requiredText(request), limits)
    const { regentCaller: caller } = request
    app.auth.checkQueues(caller, items, i => `items[${i}].queue`)
    app.telemetry?.sent(request, items)
    const results = await app.queue.push(items, { producerSub: caller?.subject ?? null, context: contextOf(app, request) })
    return await sendJsonText(reply.code(201), resultsText(results))
  })
}

/**
 * The answer, an element per item. A duplicate carries the first message's id, and no partition or trace; what went into the
 * file buffer has no id yet. What depends on the partition alone is built once for neighbours in the same one.
 */
function resultsText (results: PushResult[]): string {
  let out = '['
  let last: StoredMessage | undefined
  let idPrefix = ''
  let partition = ''
  let queue = ''
  for (const [index, result] of results.entries()) {
    if (result.status === 'buffered') {
      out += (index === 0 ? '' : ',') + bufferedText(index, result)
      continue
    }
    if (last?.partitionId !== result.partitionId || last.queue !== result.queue) {
      idPrefix = messageIdPrefix(result.partitionId)
      partition = `,"partition_id":"${messageId(result.partitionId, 0)}","trace_id":`
      queue = `,"queueName":${JSON.stringify(result.queue)}}`
      last = result
    }
    out += `${index === 0 ? '' : ','}{"index":${index},"status":"${result.status}","message_id":"${idPrefix}${positionSuffix(result.position)}"` +
      `,"transaction_id":${JSON.stringify(result.transactionId)}`
    if (result.status === 'queued') out += partition + (result.traceId === null ? 'null' : `"${result.traceId}"`)
    out += queue
  }
  return out + ']'
}

/** Both spellings of the transaction id: clients look for the one of stored messages, or for that of the original's buffer. */
function bufferedText (index: number, { status, queue, partition, transactionId }: BufferedMessage): string {
  return JSON.stringify({ index, status, queue, partition, transactionId, transaction_id: transactionId, queueName: queue })
}
