import type { FastifyInstance } from 'fastify'
import { RegentError, hasCode } from '../services/errors.ts'
import { FieldError } from '../services/json/field-error.ts'
import { checkName } from '../services/json/names.ts'
import { JsonReader } from '../services/json/reader.ts'
import { messageId } from '../services/log/ids.ts'
import { QUEUE_MODE } from '../services/queue/types.ts'
import { addTrace } from '../services/traces/add.ts'
import { listTraceNames, listTraces, listTracesByName } from '../services/traces/list.ts'
import type { NewTrace, Trace } from '../services/traces/types.ts'
import { requiredText } from './body.ts'
import { Query } from './query.ts'
import {
  DEFAULT_BY_NAME, DEFAULT_EVENT_TYPE, DEFAULT_NAMES, DEFAULT_OF_MESSAGE, LONGEST_EVENT_TYPE, MOST_NAMES, MOST_OF_MESSAGE, traceSchemas
} from './schemas/traces.ts'

/** /api/v1/traces: record traces of messages and read them. Data and payloads are the clients' own JSON texts. */
export async function traceRoutes (app: FastifyInstance, { maxDepth, workerId }: { maxDepth: number, workerId: string }): Promise<void> {
  app.post('/api/v1/traces', { schema: traceSchemas.add, config: { access: 'consume', queueIn: 'handler' } }, async (request, reply) => {
    const trace = readTrace(requiredText(request), maxDepth, workerId)
    await app.auth.checkPartitions(request.regentCaller, [trace.partitionId], () => 'partitionId')
    try {
      return await reply.code(201).send({ success: true, traceId: await addTrace(app.postgres, trace) })
    } catch (error) {
      // Clients look for `success` here.
      if (!(error instanceof RegentError) || !hasCode(error, 'RGT_MESSAGE_UNKNOWN')) throw error
      return await reply.code(error.status).send({ success: false, error: error.message, code: error.code, retryable: error.retryable })
    }
  })

  app.get('/api/v1/traces/names', { schema: traceSchemas.listNames, config: { access: 'read' } }, async request => {
    const query = new Query(request)
    const page = query.page(DEFAULT_NAMES)
    const { names, total } = await listTraceNames(app.postgres, query.name('search'), page)
    const traceNames = names.map(({ name, traces, messages, lastSeen }) =>
      ({ trace_name: name, trace_count: traces, message_count: messages, last_seen: lastSeen }))
    return { trace_names: traceNames, total, pagination: page }
  })

  app.get('/api/v1/traces/by-name/:traceName', { schema: traceSchemas.listByName, config: { access: 'read' } }, async (request, reply) => {
    const traceName = formDecoded(request.url.slice(request.url.lastIndexOf('/', endOfPath(request.url)) + 1, endOfPath(request.url)))
    checkName(traceName, 'traceName')
    const query = new Query(request)
    const page = query.page(DEFAULT_BY_NAME)
    const { traces, total } = await listTracesByName(app.postgres, app.queue.keys, traceName, { from: query.time('from'), to: query.time('to') }, page)
    const texts = traces.map(trace => traceText(trace, {
      transaction_id: trace.transactionId,
      partition_id: messageId(trace.partitionId, 0),
      queue_name: trace.queue,
      partition_name: trace.partition
    }, `,"message_payload":${trace.payload ?? 'null'}`))
    return await reply.type('application/json').send(listText(texts, total, page))
  })

  app.get<{ Params: { partitionId: string, transactionId: string } }>('/api/v1/traces/:partitionId/:transactionId', {
    schema: traceSchemas.listOfMessage, config: { access: 'read', queueIn: 'partition' }
  }, async (request, reply) => {
    const page = new Query(request).page(DEFAULT_OF_MESSAGE, MOST_OF_MESSAGE)
    const { traces, total } = await listTraces(app.postgres, request.params.partitionId, request.params.transactionId, page)
    return await reply.type('application/json').send(listText(traces.map(trace => traceText(trace, {}, '')), total, page))
  })
}

/** Of equal keys the last one counts, as in JSON.parse. */
function readTrace (text: string, maxDepth: number, workerId: string): NewTrace {
  const reader = new JsonReader(text, maxDepth)
  const raw = new Map<string, string>()
  if (reader.kind() === 'object') {
    reader.enterObject()
    for (let key = reader.nextKey(); key !== null; key = reader.nextKey()) raw.set(key, reader.rawValue())
  } else {
    reader.skip()
  }
  reader.end()
  const transactionId = textOf(raw, 'transactionId')
  const partitionId = textOf(raw, 'partitionId')
  const data = raw.get('data')
  if (transactionId === null || partitionId === null) {
    throw new FieldError(transactionId === null ? 'transactionId' : 'partitionId', 'required', 'transactionId and partitionId are required')
  }
  if (data === undefined) throw new FieldError('data', 'required', 'data is required')
  const eventType = textOf(raw, 'eventType') ?? DEFAULT_EVENT_TYPE
  checkName(eventType, 'eventType')
  if ([...eventType].length > LONGEST_EVENT_TYPE) {
    throw new FieldError('eventType', 'too_long', `eventType: must be at most ${LONGEST_EVENT_TYPE} characters`)
  }
  return {
    transactionId,
    partitionId,
    data,
    eventType,
    group: nameOf(raw, 'consumerGroup') ?? QUEUE_MODE,
    workerId: nameOf(raw, 'workerId') ?? workerId,
    names: readNames(raw.get('traceNames'))
  }
}

/** Anything but texts counts as none. */
function readNames (text: string | undefined): string[] {
  const value: unknown = text === undefined ? [] : JSON.parse(text)
  const names = (Array.isArray(value) ? value : [value]).filter(name => typeof name === 'string' && name !== '') as string[] // by the filter
  if (names.length > MOST_NAMES) throw new FieldError('traceNames', 'too_many', `traceNames: At most ${MOST_NAMES} names are allowed`)
  for (const [i, name] of names.entries()) checkName(name, `traceNames[${i}]`)
  return [...new Set(names)]
}

/** A field that is a text and not empty. */
function textOf (raw: ReadonlyMap<string, string>, name: string): string | null {
  const text = raw.get(name)
  const value: unknown = text?.startsWith('"') === true ? JSON.parse(text) : null
  return typeof value === 'string' && value !== '' ? value : null
}

function nameOf (raw: ReadonlyMap<string, string>, field: string): string | null {
  const name = textOf(raw, field)
  if (name !== null) checkName(name, field)
  return name
}

function traceText (trace: Trace, message: object, end: string): string {
  const fields = {
    id: trace.id,
    event_type: trace.eventType,
    consumer_group: trace.group,
    worker_id: trace.workerId,
    created_at: trace.createdAt,
    trace_names: trace.names,
    ...message
  }
  return `${JSON.stringify(fields).slice(0, -1)},"data":${trace.data}${end}}`
}

function listText (traces: readonly string[], total: number, page: { limit: number, offset: number }): string {
  return `{"traces":[${traces.join(',')}],"total":${total},"pagination":${JSON.stringify(page)}}`
}

function endOfPath (url: string): number {
  const query = url.indexOf('?')
  return query < 0 ? url.length : query
}

/** Trace names alone are form-encoded in paths: `+` is a space (http-api.md 1.2). The router has seen that it decodes. */
function formDecoded (segment: string): string {
  return decodeURIComponent(segment.replaceAll('+', ' '))
}
