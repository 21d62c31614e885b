import type { PushLimits } from '../../services/json/push-items.ts'
import { ACK_EXAMPLE, ACK_FIELDS } from './ack.ts'
import { PUSH_ERRORS, PUSH_ITEM } from './push.ts'
import { BODY_ERRORS, anything, count, described, errorResponses, flag, list, looseName, name, object, text, uuid } from './shared.ts'
import type { Operation } from './shared.ts'

export function transactionSchema ({ maxItems }: Pick<PushLimits, 'maxItems'>): Operation {
  return {
    operationId: 'transact',
    summary: 'Acknowledge and push, whole or not at all',
    description: 'A transaction that is refused, as a message cannot be acknowledged or a queue is full, is answered 200 with `success: false`, and has changed nothing. The messages and acknowledgements of all operations together may be as many as there may be operations. The headers `traceparent` and `tracestate` hold for messages that name none themselves.',
    tags: ['messages'],
    body: {
      ...object({
        operations: list({ type: 'object', anyOf: [pushOfMany(maxItems), PUSH_OF_ONE, ACK, OTHER] }, { minItems: 1, maxItems }),
        requiredLeases: { description: 'An array of lease ids that acknowledgements rest on which name none; of anything else nothing counts' }
      }, ['operations']),
      examples: [{ operations: [{ type: 'ack', ...ACK_EXAMPLE, consumerGroup: 'billing' }, { type: 'push', items: [{ queue: 'invoices', payload: { total: 9.9 } }] }] }]
    },
    response: {
      200: { description: 'What happened, or that nothing did', oneOf: [DONE, REFUSED] },
      ...errorResponses(...BODY_ERRORS, 'RGT_QUEUE_DRAINING', ...PUSH_ERRORS)
    }
  }
}

const PUSH = { const: 'push' }

function pushOfMany (maxItems: number) {
  return { title: 'Push of several messages', ...object({ type: PUSH, items: list(object(PUSH_ITEM, ['queue']), { maxItems }) }) }
}

const PUSH_OF_ONE = {
  title: 'Push of one message',
  ...object({ type: PUSH, ...PUSH_ITEM, data: described(anything, 'Another name of `payload`') }, ['type', 'queue']),
  not: { required: ['items'] }
}

const ACK = {
  title: 'Acknowledgement',
  ...object({
    type: { const: 'ack' },
    transactionId: { description: 'Of the message; what is no text names none' },
    partitionId: { description: 'Of the message; what is no text names none' },
    ...ACK_FIELDS,
    consumerGroup: looseName('The group that it was delivered to.')
  }, ['type'])
}

const OTHER = { title: 'Anything else', ...object({ type: { not: { enum: ['push', 'ack'] } } }, []), description: 'The transaction is refused with `success: false`' }

const DONE = object({
  success: { const: true },
  transactionId: described(uuid, 'Of the transaction'),
  results: list({
    oneOf: [
      object({
        index: count,
        type: PUSH,
        success: { const: true },
        status: { enum: ['queued', 'duplicate'] },
        transactionId: name,
        messageId: uuid,
        partitionId: uuid,
        queueName: name
      }),
      object({ index: count, type: { const: 'ack' }, success: { const: true }, transactionId: text, error: { type: 'null' }, dlq: flag })
    ]
  })
})

const REFUSED = object({ success: { const: false }, transactionId: uuid, error: text, results: { type: 'array', maxItems: 0 } })
