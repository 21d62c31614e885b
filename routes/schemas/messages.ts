import { MESSAGE_STATUSES } from '../../services/messages/list.ts'
import {
  DATABASE_ERRORS, OF_TRACE, anything, count, described, errorResponses, flag, list, name, nameParameter, object, orNull, page, pagination, params, query, text, time, timeParameter,
  uuid, wordParameter
} from './shared.ts'
import type { Operation, Schema } from './shared.ts'

export const LIST_LIMIT = 200
export const QUEUE_LIST_LIMIT = 50

const STATUS: Schema = { type: 'string', enum: MESSAGE_STATUSES }

const PLACE = {
  id: uuid,
  transactionId: name,
  partitionId: uuid,
  queuePath: described(text, 'Queue and partition, with a slash between'),
  queue: name,
  partition: name,
  namespace: text,
  task: text,
  status: described(STATUS, 'What became of it, by all that consume its queue')
}

const LISTED_FIELDS = {
  ...PLACE,
  queueStatus: described(STATUS, 'What became of it where its queue is consumed without groups'),
  busStatus: object({ consumedBy: described(count, 'Groups that have passed it'), totalGroups: count }),
  traceId: orNull(uuid),
  producerSub: orNull(text),
  queuePriority: { type: 'integer' },
  createdAt: time,
  leaseExpiresAt: orNull(time)
}

const LISTED = object({ ...LISTED_FIELDS, ...OF_TRACE }, Object.keys(LISTED_FIELDS))

const MODE = { hasQueueMode: flag, busGroupsCount: count, type: { type: 'string', enum: ['none', 'queue', 'bus', 'hybrid'], description: 'How messages are consumed: without groups, by groups, or both' } }

const DETAIL_FIELDS = {
  ...PLACE,
  isEncrypted: described(flag, 'Whether it is stored so'),
  traceId: orNull(uuid),
  producerSub: orNull(text),
  createdAt: time,
  errorMessage: described(orNull(text), 'Of its newest dead letter'),
  retryCount: orNull(count),
  leaseExpiresAt: orNull(time),
  queueConfig: object({ leaseTime: count, retryLimit: count, retryDelay: count, ttl: count, priority: { type: 'integer' } }),
  mode: object({ ...MODE, consumedByGroups: count }),
  consumerGroups: list(object({ name, consumed: flag, leaseExpiresAt: orNull(time) })),
  payload: anything
}

const QUEUE = params({ queue: name })
const MESSAGE = params({ partitionId: uuid, transactionId: name })
const ERRORS = ['RGT_FIELD_INVALID', ...DATABASE_ERRORS] as const

export const messageSchemas = {
  list: {
    operationId: 'listMessages',
    summary: 'Messages without their payloads, the newest first',
    tags: ['queues'],
    querystring: query({
      queue: nameParameter('Those of this queue.'),
      partition: nameParameter('Those of partitions of this name.'),
      ns: nameParameter('Those of queues with this namespace.'),
      task: nameParameter('Those of queues with this task.'),
      status: wordParameter(MESSAGE_STATUSES, 'Those of this status.'),
      from: timeParameter('Those not older than this; an hour ago, when not given.'),
      to: timeParameter('Those not newer than the minute of this.'),
      ...page(LIST_LIMIT)
    }),
    response: {
      200: { description: 'A page of them', ...object({ messages: list(LISTED), mode: object(MODE), pagination }) },
      ...errorResponses(...ERRORS)
    }
  },
  listOfQueue: {
    operationId: 'listQueueMessages',
    summary: 'Messages of a queue without their payloads, the newest first',
    tags: ['queues'],
    params: QUEUE,
    querystring: query(page(QUEUE_LIST_LIMIT)),
    response: {
      200: {
        description: 'A page of them',
        ...list(object({ id: uuid, transactionId: name, partitionId: uuid, queuePath: text, queue: name, partition: name, status: STATUS, createdAt: time }))
      },
      ...errorResponses(...ERRORS, 'RGT_QUEUE_UNKNOWN')
    }
  },
  show: {
    operationId: 'getMessage',
    summary: 'One message with its payload and where every group stands',
    tags: ['queues'],
    params: MESSAGE,
    response: {
      200: {
        description: 'The newest one with this transaction id',
        ...object({ ...DETAIL_FIELDS, ...OF_TRACE, payloadError: described(text, 'Why the payload is null: it cannot be decrypted here') }, Object.keys(DETAIL_FIELDS))
      },
      ...errorResponses(...ERRORS, 'RGT_MESSAGE_UNKNOWN')
    }
  },
  remove: {
    operationId: 'deleteMessage',
    summary: 'Delete a message with its dead letters and traces',
    tags: ['queues'],
    params: MESSAGE,
    response: {
      200: { description: 'It is gone, or was not there', ...object({ success: described(flag, 'Whether it was there'), partitionId: uuid, transactionId: name, message: text }) },
      ...errorResponses(...ERRORS)
    }
  },
  clear: {
    operationId: 'clearQueue',
    summary: 'Delete all messages of a queue, or of one partition',
    tags: ['queues'],
    params: QUEUE,
    querystring: query({ partition: nameParameter('Only those of this partition.') }),
    response: {
      200: { description: 'They are gone', ...object({ success: { const: true }, queue: name, partition: orNull(name), cleared: described(count, 'How many there were') }) },
      ...errorResponses(...ERRORS, 'RGT_QUEUE_UNKNOWN', 'RGT_PARTITION_UNKNOWN')
    }
  }
} satisfies Record<string, Operation>
