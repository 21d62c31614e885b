import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { contextOf } from '../plugins/telemetry.ts'
import { hasCode } from '../services/errors.ts'
import { messageId } from '../services/log/ids.ts'
import { readTransactionBody } from '../services/json/transaction-body.ts'
import type { Operation } from '../services/json/transaction-body.ts'
import type { TransactionInput, TransactionResult } from '../services/queue/transaction.ts'
import type { Acknowledgement } from '../services/queue/types.ts'
import { ackGroup, ackLease, acknowledgement, ackStatus } from './acknowledgement.ts'
import { requiredText } from './body.ts'
import { transactionSchema } from './schemas/transaction.ts'

/** POST /api/v1/transaction. A transaction that fails is answered 200 with `success: false` and changes nothing. */
export async function transactionRoutes (app: FastifyInstance, limits: { maxItems: number, maxDepth: number }): Promise<void> {
  app.post('/api/v1/transaction', { config: { access: 'transact', queueIn: 'handler' }, schema: transactionSchema(limits) }, async request => {
    const { operations, requiredLeases } = readTransactionBody(requiredText(request), limits)
    const transactionId = randomUUID()
    const unknown = operations.find(operation => operation.type === 'unknown')
    if (unknown !== undefined) return failure(transactionId, `Unknown operation type: ${unknown.name ?? 'null'}`)
    const input = {
      pushes: operations.flatMap(operation => operation.type === 'push' ? operation.items : []),
      acks: operations.flatMap((operation, i) => operation.type === 'ack' ? [ackOf(operation.fields, `operations[${i}]`)] : []),
      requiredLeases: requiredLeases.map(ackLease).filter(lease => lease !== null),
      producerSub: request.regentCaller?.subject ?? null,
      context: contextOf(app, request)
    }
    if (input.pushes.length > 0) app.telemetry?.sent(request, input.pushes)
    await checkQueues(app, request, operations, input)
    const result = await transact(app, input)
    return result.success
      ? { success: true, transactionId, results: wireResults(operations, result) }
      : failure(transactionId, 'failedAck' in result ? `ACK operation failed: ${result.error}` : result.error)
  })
}

/** Whatever a transaction touches belongs to queues of the caller. */
async function checkQueues ({ auth }: FastifyInstance, { regentCaller: caller }: FastifyRequest, operations: Operation[], { acks, requiredLeases }: TransactionInput): Promise<void> {
  for (const [i, operation] of operations.entries()) {
    if (operation.type === 'push') auth.checkQueues(caller, operation.items, j => `operations[${i}].items[${j}].queue`)
  }
  await auth.checkPartitions(caller, acks.map(ack => ack.partitionId), () => 'operations')
  await auth.checkLeases(caller, requiredLeases, () => 'requiredLeases')
}

/** A queue that is full fails the transaction like an acknowledgement that is refused. */
async function transact (app: FastifyInstance, input: TransactionInput): Promise<{ success: false, error: string } | TransactionResult> {
  try {
    return await app.queue.transact(input)
  } catch (error) {
    if (error instanceof Error && hasCode(error, 'RGT_QUEUE_FULL')) return { success: false, error: error.message }
    throw error
  }
}

/** Nothing happened, so there are no results to show. */
function failure (transactionId: string, error: string): object {
  return { success: false, transactionId, error, results: [] }
}

function ackOf (fields: Record<string, unknown>, path: string): Acknowledgement {
  const { transactionId, partitionId, status, consumerGroup } = fields
  // Ids that are no texts name no message: the transaction fails, as with any unknown message.
  const word = status === undefined || status === null ? 'completed' : typeof status === 'string' ? ackStatus(status) : null
  return acknowledgement(fields, textOf(transactionId), textOf(partitionId), ackGroup(consumerGroup, `${path}.consumerGroup`), word, 'Unknown error')
}

/** One element per flattened operation, in the order in which they were sent. */
function wireResults (operations: Operation[], result: Extract<TransactionResult, { success: true }>): object[] {
  const pushes = result.pushes.values()
  const acks = result.acks.values()
  const results: object[] = []
  for (const operation of operations) {
    const count = operation.type === 'push' ? operation.items.length : 1
    for (let i = 0; i < count; i++) {
      const index = results.length
      if (operation.type === 'push') {
        const push = pushes.next().value
        if (push === undefined) continue
        results.push({
          index,
          type: 'push',
          success: true,
          status: push.status,
          transactionId: push.transactionId,
          messageId: messageId(push.partitionId, push.position),
          partitionId: messageId(push.partitionId, 0),
          queueName: push.queue
        })
      } else {
        const ack = acks.next().value
        if (ack !== undefined) results.push({ index, type: 'ack', success: ack.success, transactionId: ack.transactionId, error: ack.error, dlq: ack.dlq })
      }
    }
  }
  return results
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}
