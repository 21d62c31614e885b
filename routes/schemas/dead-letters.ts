import {
  BODY_ERRORS, DATABASE_ERRORS, OF_TRACE, OPTIONAL_BODY_ERRORS, anything, count, described, errorResponses, list, looseObject, name, nameParameter, object, optionalBody, orNull,
  page, pagination, params, query, text, time, timeParameter, uuid
} from './shared.ts'
import type { Operation, Schema } from './shared.ts'

export const DEFAULT_LIMIT = 100
/** The number of a dead letter. Eighteen digits are always within a bigint. */
export const DEAD_LETTER_ID = /^[1-9]\d{0,17}$/

const TAGS = ['dead letters'] as const
const SUCCESS: Schema = { const: true }
const UNKNOWN = errorResponses('RGT_DEAD_LETTER_UNKNOWN', ...DATABASE_ERRORS)
const REMAINING = described(count, 'How many of those that were meant there are now')
const REDRIVEN = { success: SUCCESS, redriven: described(count, 'How many were put back'), remaining: REMAINING }
const PURGED = { success: SUCCESS, purged: described(count, 'How many were deleted'), remaining: REMAINING }

const ENTRY_PARAMS = params({ deadLetterId: described(text, 'What cannot be one is not found') })
const MESSAGE_PARAMS = params({ partitionId: described(text, 'What is no id of a partition is not found'), transactionId: text })

const DEAD_LETTER = object({
  deadLetterId: { type: 'string', pattern: DEAD_LETTER_ID.source },
  id: described(uuid, 'Of the message, which several groups may have given up on'),
  transactionId: name,
  partitionId: uuid,
  queue: name,
  partition: name,
  consumerGroup: name,
  errorMessage: text,
  retryCount: count,
  traceId: orNull(uuid),
  producerSub: orNull(text),
  ...OF_TRACE,
  createdAt: described(time, 'When the message was written'),
  failedAt: time,
  dataError: described(text, 'Why the payload cannot be decrypted here'),
  data: described(anything, 'The payload; null where it cannot be decrypted')
}, ['deadLetterId', 'id', 'transactionId', 'partitionId', 'queue', 'partition', 'consumerGroup', 'errorMessage', 'retryCount', 'traceId', 'producerSub', 'createdAt',
  'failedAt', 'data'])

/** A name in a body; null and an empty one mean none. */
function nameField (description: string): Schema {
  return orNull(nameParameter(description))
}

/** Which dead letters are meant: those that fit all that is given. */
function selection (maxItems: number): Schema {
  return {
    ...object({
      ids: { type: ['array', 'null'], items: { type: 'string', pattern: DEAD_LETTER_ID.source }, maxItems, description: 'Each the `deadLetterId` of a dead letter' },
      queue: nameField('Name of the queue.'),
      partition: nameField('Name of the partition.'),
      consumerGroup: nameField('Name of the group that has given up on them.'),
      limit: { type: ['integer', 'null'], minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Most of them, the oldest failures first; all without it.' }
    }, []),
    // All dead letters of everybody are never meant by what was left out.
    anyOf: [
      { properties: { ids: { type: 'array' } }, required: ['ids'] },
      { properties: { queue: { type: 'string', minLength: 1 } }, required: ['queue'] }
    ]
  }
}

type DeadLetterRoute = 'list' | 'describe' | 'redrive' | 'redriveOne' | 'purge' | 'purgeOne' | 'retryMessage' | 'moveMessage'

/** The routes of dead letters, and the two of a message that lead to them and back. @param maxItems most ids of one request */
export function deadLetterSchemas (maxItems: number): Record<DeadLetterRoute, Operation> {
  const body = selection(maxItems)
  return {
    list: {
      operationId: 'listDeadLetters',
      summary: 'Dead letters, the newest failure first',
      tags: TAGS,
      querystring: query({
        queue: nameParameter('Name of the queue.'),
        partition: nameParameter('Name of the partition.'),
        consumerGroup: nameParameter('Name of the group that has given up on them.'),
        from: timeParameter('Failed then or later.'),
        to: timeParameter('Failed then or before.'),
        error: nameParameter('A part of the error\'s text, in any case.'),
        ...page(DEFAULT_LIMIT)
      }),
      response: {
        200: { description: 'A page of them', ...object({ messages: list(DEAD_LETTER), pagination, total: count }) },
        ...errorResponses('RGT_FIELD_INVALID', ...DATABASE_ERRORS)
      }
    },
    describe: {
      operationId: 'getDeadLetter',
      summary: 'One dead letter',
      tags: TAGS,
      params: ENTRY_PARAMS,
      response: { 200: { description: 'The dead letter', ...DEAD_LETTER }, ...UNKNOWN }
    },
    redrive: {
      operationId: 'redriveDeadLetters',
      summary: 'Put dead letters back',
      description: 'Each message goes to the end of its partition as a new one, with the same transaction id, trace id, producer and data, and every group sees it again. ' +
        'After some 20 s the answer says how many remain, and the same request goes on with them.',
      tags: TAGS,
      body,
      response: { 200: { description: 'They were put back', ...object(REDRIVEN) }, ...errorResponses(...BODY_ERRORS, ...DATABASE_ERRORS) }
    },
    redriveOne: {
      operationId: 'redriveDeadLetter',
      summary: 'Put one dead letter back',
      tags: TAGS,
      params: ENTRY_PARAMS,
      response: { 200: { description: 'It was put back', ...object(REDRIVEN) }, ...UNKNOWN }
    },
    purge: {
      operationId: 'purgeDeadLetters',
      summary: 'Delete dead letters for good',
      tags: TAGS,
      body,
      response: { 200: { description: 'They are gone', ...object(PURGED) }, ...errorResponses(...BODY_ERRORS, ...DATABASE_ERRORS) }
    },
    purgeOne: {
      operationId: 'purgeDeadLetter',
      summary: 'Delete one dead letter for good',
      tags: TAGS,
      params: ENTRY_PARAMS,
      response: { 200: { description: 'It is gone', ...object(PURGED) }, ...UNKNOWN }
    },
    retryMessage: {
      operationId: 'retryMessage',
      summary: 'Put a dead-lettered message back, or end its waiting for the next try',
      tags: TAGS,
      params: MESSAGE_PARAMS,
      response: {
        200: {
          description: 'What came of it; any other message is left as it is',
          ...object({
            success: SUCCESS,
            partitionId: uuid,
            transactionId: name,
            redriven: described(count, 'Dead letters that were put back'),
            madeAvailable: described(list(name), 'Groups that need not wait for it any more')
          })
        },
        ...errorResponses('RGT_MESSAGE_UNKNOWN', ...DATABASE_ERRORS)
      }
    },
    moveMessage: {
      operationId: 'moveMessageToDeadLetters',
      summary: 'Move a message to the dead letters',
      description: 'Without a body: of every group that has not acknowledged it. It counts as acknowledged by them from then on.',
      tags: TAGS,
      params: MESSAGE_PARAMS,
      body: optionalBody(looseObject({
        consumerGroup: nameField('Of this group alone.'),
        error: described(anything, 'What to say of the failure; anything but a text counts as none')
      })),
      response: {
        200: {
          description: 'It is a dead letter',
          ...object({
            success: SUCCESS,
            partitionId: uuid,
            transactionId: name,
            moved: count,
            consumerGroups: described(list(name), 'The groups it was moved for; none when it had been dead-lettered before')
          })
        },
        ...errorResponses(...OPTIONAL_BODY_ERRORS, 'RGT_MESSAGE_UNKNOWN', 'RGT_GROUP_UNKNOWN', 'RGT_MESSAGE_ACKNOWLEDGED', 'RGT_DEAD_LETTERS_OFF', ...DATABASE_ERRORS)
      }
    }
  }
}
