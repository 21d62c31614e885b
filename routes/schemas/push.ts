import type { PushLimits } from '../../services/json/push-items.ts'
import { BODY_ERRORS, DATABASE_ERRORS, anything, count, described, errorResponses, list, name, nameParameter, object, orNull, uuid, uuidOrEmpty } from './shared.ts'
import type { Operation, Schema } from './shared.ts'

// W3C Trace Context level 2, section 3.2: not of version ff, of 55 characters in version 00, and neither id all zero.
const TRACEPARENT = '^$|^(?!ff)(?!00.{53}.)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$'

/** What a message that is pushed says of itself, also within a transaction. */
export const PUSH_ITEM: Readonly<Record<string, Schema>> = {
  queue: described(name, 'Made with default options if there is none of this name'),
  partition: { ...name, default: 'Default' },
  payload: described(anything, 'Any JSON value, delivered as it was written; null when there is none'),
  transactionId: nameParameter('What the message is recognised by when it is pushed again, and acknowledged by; without it, or empty, one is made.'),
  traceId: described(uuidOrEmpty, 'Handed on to consumers'),
  traceparent: { type: ['string', 'null'], pattern: TRACEPARENT, description: 'The trace that it is part of, as W3C Trace Context has it, in place of the one of the request' },
  tracestate: { type: ['string', 'null'], description: 'What belongs to `traceparent`; left out when it is malformed' }
}

/** Why messages were not stored. */
export const PUSH_ERRORS = [
  'RGT_ENCRYPTION_KEY_MISSING', 'RGT_PUSHES_HELD', 'RGT_BUFFER_FULL', 'RGT_BUFFER_UNAVAILABLE', 'RGT_BUFFER_RECORD_TOO_LARGE', ...DATABASE_ERRORS
] as const

export function pushSchema ({ maxItems }: Pick<PushLimits, 'maxItems'>): Operation {
  return {
    operationId: 'push',
    summary: 'Store messages',
    description: 'All of them or none, but for duplicates: a message whose `transactionId` its partition has seen lately is not stored again. While the database is away messages go into the file buffer. The headers `traceparent` and `tracestate` hold for messages that name none themselves.',
    tags: ['messages'],
    body: {
      ...object({ items: list(object(PUSH_ITEM, ['queue']), { maxItems }) }),
      examples: [{ items: [{ queue: 'orders', partition: 'customer-7', transactionId: 'order-1', payload: { total: 9.9 } }] }]
    },
    response: {
      201: { description: 'An entry for each message, in the order in which they were sent', ...list({ oneOf: [QUEUED, DUPLICATE, BUFFERED] }) },
      ...errorResponses(...BODY_ERRORS, 'RGT_QUEUE_FULL', ...PUSH_ERRORS)
    }
  }
}

const PLACE = { index: count, transaction_id: name, queueName: name }

const QUEUED = object({
  ...PLACE,
  status: { const: 'queued', description: 'It is in the database' },
  message_id: uuid,
  partition_id: uuid,
  trace_id: orNull(uuid)
})

const DUPLICATE = object({
  ...PLACE,
  status: { const: 'duplicate', description: 'There is one with this `transactionId` already' },
  message_id: described(uuid, 'Of the first one')
})

const BUFFERED = object({
  ...PLACE,
  status: { const: 'buffered', description: 'It is in the file buffer and will be stored; it has no id yet' },
  queue: name,
  partition: name,
  transactionId: name
})
