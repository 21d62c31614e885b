import { ACK_WORDS, MAX_ERROR_CHARACTERS } from '../acknowledgement.ts'
import { BODY_ERRORS, DATABASE_ERRORS, count, described, errorResponses, flag, list, looseName, object, orNull, text } from './shared.ts'
import type { Operation, Schema } from './shared.ts'

/** What an acknowledgement says besides the message it is about, also within a transaction. */
export const ACK_FIELDS: Readonly<Record<string, Schema>> = {
  status: {
    default: 'completed',
    examples: ACK_WORDS,
    description: `What became of the message: ${ACK_WORDS.map(word => `\`${word}\``).join(', ')}. With any other text the acknowledgement is not successful.`
  },
  leaseId: { description: 'The lease it was delivered under; checked when it is a text that is not empty' },
  error: { description: `Why it failed: of a text the first ${MAX_ERROR_CHARACTERS} characters are kept` }
}

/** One that works once the ids are those of a delivery. */
export const ACK_EXAMPLE = {
  transactionId: 'order-1', partitionId: '00000000-0001-8000-8000-000000000000', leaseId: '00000000-0001-4000-8000-000000000000', status: 'completed'
}

const MESSAGE = {
  transactionId: described(text, 'Of the message, as it was delivered'),
  partitionId: described(text, 'Of the message, as it was delivered; what is none names no message')
}

const RESPONSES = {
  200: {
    description: 'An entry for each, in the order in which they were sent; which were successful is said there',
    ...list(object({
      index: count,
      transactionId: text,
      success: flag,
      error: orNull(text),
      queueName: orNull(text),
      partitionName: orNull(text),
      leaseReleased: described(orNull(flag), 'Whether the lease is over with this; null when the group has nothing to do with the partition'),
      dlq: described(flag, 'Whether it has become a dead letter')
    }))
  },
  ...errorResponses(...BODY_ERRORS, ...DATABASE_ERRORS)
}

export function ackSchemas ({ maxItems }: { maxItems: number }): Record<'one' | 'batch', Operation> {
  return {
    one: {
      operationId: 'ack',
      summary: 'Acknowledge one message',
      description: 'A `status` that is no text counts as `completed`.',
      tags: ['messages'],
      body: {
        ...object({ ...MESSAGE, ...ACK_FIELDS, consumerGroup: looseName('The group that it was delivered to.') }, ['transactionId', 'partitionId']),
        examples: [{ ...ACK_EXAMPLE, consumerGroup: 'billing' }]
      },
      response: RESPONSES
    },
    batch: {
      operationId: 'ackBatch',
      summary: 'Acknowledge many messages',
      description: 'Each by itself: some may be successful and others not. A `status` of null counts as `completed`.',
      tags: ['messages'],
      body: {
        ...object({
          acknowledgments: list(object({ ...MESSAGE, ...ACK_FIELDS }, ['transactionId', 'partitionId']), { maxItems }),
          consumerGroup: looseName('The group that they were delivered to.')
        }, ['acknowledgments']),
        examples: [{ acknowledgments: [ACK_EXAMPLE], consumerGroup: 'billing' }]
      },
      response: RESPONSES
    }
  }
}
