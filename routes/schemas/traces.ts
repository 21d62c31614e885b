import {
  BODY_ERRORS, DATABASE_ERRORS, anything, count, described, errorResponses, list, looseName, name, nameParameter, object, page, pagination, params, query, text, time, timeParameter,
  uuid
} from './shared.ts'
import type { Operation, Schema } from './shared.ts'

export const LONGEST_EVENT_TYPE = 100
export const DEFAULT_EVENT_TYPE = 'info'
export const MOST_NAMES = 100
export const DEFAULT_OF_MESSAGE = 1000
export const MOST_OF_MESSAGE = 10_000
export const DEFAULT_BY_NAME = 100
export const DEFAULT_NAMES = 50

const TAGS = ['traces'] as const
const QUERY_ERRORS = errorResponses('RGT_FIELD_INVALID', ...DATABASE_ERRORS)
const NOT_EMPTY: Schema = { type: 'string', minLength: 1 }

const TRACE = {
  id: uuid,
  event_type: text,
  consumer_group: name,
  worker_id: text,
  created_at: time,
  trace_names: list(name),
  data: described(anything, 'As it was recorded')
}

/** One name, or a list of them. */
function namesOf (one: Schema, description: string): Schema {
  return { ...one, items: one, contains: NOT_EMPTY, minContains: 0, maxContains: MOST_NAMES, description }
}

function traces (trace: Schema): Schema {
  return object({ traces: list(trace), total: count, pagination })
}

export const traceSchemas: Record<'add' | 'listNames' | 'listByName' | 'listOfMessage', Operation> = {
  add: {
    operationId: 'addTrace',
    summary: 'Record a trace of a message',
    tags: TAGS,
    body: object({
      transactionId: NOT_EMPTY,
      partitionId: NOT_EMPTY,
      data: described(anything, 'Whatever is to be recorded'),
      eventType: { ...looseName('What kind of event it is.'), maxLength: LONGEST_EVENT_TYPE, default: DEFAULT_EVENT_TYPE },
      consumerGroup: looseName('The group it was consumed by; none without it.'),
      workerId: looseName('Who has recorded it; this process without it.'),
      traceNames: namesOf(looseName('A name.'), 'A name or several, by which traces of many messages are found. What is no text counts as none.')
    }, ['transactionId', 'partitionId', 'data']),
    response: {
      201: { description: 'It was recorded', ...object({ success: { const: true }, traceId: uuid }) },
      ...errorResponses(...BODY_ERRORS, 'RGT_MESSAGE_UNKNOWN', ...DATABASE_ERRORS)
    }
  },
  listNames: {
    operationId: 'listTraceNames',
    summary: 'Names of traces with counts, the one used last first',
    tags: TAGS,
    querystring: query({ search: nameParameter('A part of the name, in any case.'), ...page(DEFAULT_NAMES) }),
    response: {
      200: {
        description: 'A page of them',
        ...object({ trace_names: list(object({ trace_name: name, trace_count: count, message_count: count, last_seen: time })), total: count, pagination })
      },
      ...QUERY_ERRORS
    }
  },
  listByName: {
    operationId: 'listTracesByName',
    summary: 'Traces with a name, oldest first',
    tags: TAGS,
    params: params({ traceName: described(name, 'Form-encoded, in this path alone: a plus is a space') }),
    querystring: query({
      from: timeParameter('Recorded then or later.'),
      to: timeParameter('Recorded then or before.'),
      ...page(DEFAULT_BY_NAME)
    }),
    response: {
      200: {
        description: 'A page of them',
        ...traces(object({
          ...TRACE,
          transaction_id: name,
          partition_id: uuid,
          queue_name: name,
          partition_name: name,
          message_payload: described(anything, 'Null where the message is gone or cannot be decrypted here')
        }))
      },
      ...QUERY_ERRORS
    }
  },
  listOfMessage: {
    operationId: 'listTracesOfMessage',
    summary: 'Traces of a message, oldest first',
    tags: TAGS,
    params: params({ partitionId: text, transactionId: text }),
    querystring: query(page(DEFAULT_OF_MESSAGE, MOST_OF_MESSAGE)),
    response: { 200: { description: 'A page of them; of a message that is not there, none', ...traces(object(TRACE)) }, ...errorResponses(...DATABASE_ERRORS) }
  }
}
