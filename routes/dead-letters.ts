import type { FastifyInstance, FastifyRequest } from 'fastify'
import { getDeadLetter, listDeadLetters } from '../services/dead-letters/list.ts'
import { moveToDeadLetters, retryMessage } from '../services/dead-letters/message.ts'
import { purgeDeadLetters } from '../services/dead-letters/purge.ts'
import { redriveDeadLetters } from '../services/dead-letters/redrive.ts'
import type { DeadLetter, RedriveContext, Selection } from '../services/dead-letters/types.ts'
import { RegentError } from '../services/errors.ts'
import { FieldError } from '../services/json/field-error.ts'
import { checkName } from '../services/json/names.ts'
import { messageId } from '../services/log/ids.ts'
import { ackError } from './acknowledgement.ts'
import { readObject, requiredText } from './body.ts'
import { Query } from './query.ts'
import { DEAD_LETTER_ID, DEFAULT_LIMIT, deadLetterSchemas } from './schemas/dead-letters.ts'

interface Entry { Params: { deadLetterId: string } }
interface Message { Params: { partitionId: string, transactionId: string } }

const MOVED_BY_REQUEST = 'Moved to the dead letters by request'

/**
 * /api/v1/dlq: list, look at, put back and purge dead letters; and the two routes of a message that clients have for
 * it. Data is the client's own JSON text, spliced into the answers.
 */
export async function deadLetterRoutes (app: FastifyInstance, { maxItems }: { maxItems: number }): Promise<void> {
  const schemas = deadLetterSchemas(maxItems)
  const context: RedriveContext = { pool: app.postgres, announce: events => { app.queue.announce(events) } }

  app.get('/api/v1/dlq', { schema: schemas.list, config: { access: 'read', queueIn: 'query' } }, async (request, reply) => {
    const query = new Query(request)
    const page = query.page(DEFAULT_LIMIT)
    const filter = {
      ids: null,
      queue: query.name('queue'),
      partition: query.name('partition'),
      group: query.name('consumerGroup'),
      from: query.time('from'),
      to: query.time('to'),
      error: query.name('error')
    }
    const { deadLetters, total } = await listDeadLetters(app.postgres, app.queue.keys, filter, page)
    return await reply.type('application/json').send(
      `{"messages":[${deadLetters.map(wireText).join(',')}],"pagination":${JSON.stringify(page)},"total":${total}}`)
  })

  app.get<Entry>('/api/v1/dlq/:deadLetterId', { schema: schemas.describe, config: { access: 'read', queueIn: 'handler' } }, async (request, reply) => {
    const deadLetter = await getDeadLetter(app.postgres, app.queue.keys, await ownEntryId(request))
    if (deadLetter === null) throw new RegentError('RGT_DEAD_LETTER_UNKNOWN')
    return await reply.type('application/json').send(wireText(deadLetter))
  })

  app.post('/api/v1/dlq/redrive', { schema: schemas.redrive, config: { access: 'write', queueIn: 'handler' } }, async request => {
    const { selection, limit } = await ownSelection(request)
    return { success: true, ...await redriveDeadLetters(context, selection, limit) }
  })

  app.post<Entry>('/api/v1/dlq/:deadLetterId/redrive', { schema: schemas.redriveOne, config: { access: 'write', queueIn: 'handler' } }, async request => {
    const { redriven, remaining } = await redriveDeadLetters(context, only(await ownEntryId(request)), 1)
    if (redriven === 0 && remaining === 0) throw new RegentError('RGT_DEAD_LETTER_UNKNOWN')
    return { success: true, redriven, remaining }
  })

  app.post('/api/v1/dlq/purge', { schema: schemas.purge, config: { access: 'write', queueIn: 'handler' } }, async request => {
    const { selection, limit } = await ownSelection(request)
    return { success: true, ...await purgeDeadLetters(app.postgres, selection, limit) }
  })

  app.delete<Entry>('/api/v1/dlq/:deadLetterId', { schema: schemas.purgeOne, config: { access: 'write', queueIn: 'handler' } }, async request => {
    const { purged, remaining } = await purgeDeadLetters(app.postgres, only(await ownEntryId(request)), 1)
    if (purged === 0 && remaining === 0) throw new RegentError('RGT_DEAD_LETTER_UNKNOWN')
    return { success: true, purged, remaining }
  })

  app.post<Message>('/api/v1/messages/:partitionId/:transactionId/retry', {
    schema: schemas.retryMessage, config: { access: 'write', queueIn: 'partition' }
  }, async request => {
    return { success: true, ...request.params, ...await retryMessage(context, request.params) }
  })

  app.post<Message>('/api/v1/messages/:partitionId/:transactionId/dlq', {
    schema: schemas.moveMessage, config: { access: 'write', queueIn: 'partition' }
  }, async request => {
    const body = optionalObject(request)
    const consumerGroups = await moveToDeadLetters(context, request.params, optionalName(body, 'consumerGroup'), ackError(body.error, MOVED_BY_REQUEST))
    return { success: true, ...request.params, moved: consumerGroups.length, consumerGroups }
  })

  async function ownEntryId (request: FastifyRequest<Entry>): Promise<string> {
    const id = entryId(request.params)
    await app.auth.checkDeadLetters(request.regentCaller, [id], () => 'deadLetterId')
    return id
  }

  /** A queue that is named is enough: of the ids, only those of its dead letters are meant. */
  async function ownSelection (request: FastifyRequest): Promise<ReturnType<typeof readSelection>> {
    const read = readSelection(request, maxItems)
    const { queue, ids } = read.selection
    if (queue !== null) app.auth.checkQueue(request.regentCaller, queue, 'queue')
    else await app.auth.checkDeadLetters(request.regentCaller, ids ?? [], i => `ids[${i}]`)
    return read
  }
}

function wireText (deadLetter: DeadLetter): string {
  const { id, partitionId, position, transactionId, traceId, producerSub, traceparent, tracestate, queue, partition, group, error, retryCount, data, dataError, createdAt, failedAt } = deadLetter
  const fields = {
    deadLetterId: id,
    id: messageId(partitionId, position),
    transactionId,
    partitionId: messageId(partitionId, 0),
    queue,
    partition,
    consumerGroup: group,
    errorMessage: error,
    retryCount,
    traceId,
    producerSub,
    traceparent,
    tracestate,
    createdAt,
    failedAt,
    ...(dataError === null ? {} : { dataError })
  }
  return `${JSON.stringify(fields).slice(0, -1)},"data":${data ?? 'null'}}`
}

/** The entry that a path names; what cannot be one is unknown. */
function entryId ({ deadLetterId }: Entry['Params']): string {
  if (!DEAD_LETTER_ID.test(deadLetterId)) throw new RegentError('RGT_DEAD_LETTER_UNKNOWN')
  return deadLetterId
}

function only (id: string): Selection {
  return { ids: [id], queue: null, partition: null, group: null }
}

/** Which dead letters a body asks for: by their ids, or a queue's, and at most how many. */
function readSelection (request: FastifyRequest, maxItems: number): { selection: Selection, limit: number } {
  const body = readObject(requiredText(request))
  const selection = {
    ids: readIds(body.ids, maxItems),
    queue: optionalName(body, 'queue'),
    partition: optionalName(body, 'partition'),
    group: optionalName(body, 'consumerGroup')
  }
  // All dead letters of everybody are never meant by what was left out.
  if (selection.ids === null && selection.queue === null) throw new FieldError('queue', 'required', 'queue or ids is required')
  return { selection, limit: readLimit(body.limit) }
}

function readIds (value: unknown, maxItems: number): string[] | null {
  if (value === undefined || value === null) return null
  if (!Array.isArray(value)) throw new FieldError('ids', 'type', 'ids: must be an array')
  if (value.length > maxItems) throw new FieldError('ids', 'too_many', `ids: At most ${maxItems} ids are allowed`)
  return value.map((id: unknown, i) => {
    if (typeof id !== 'string' || !DEAD_LETTER_ID.test(id)) throw new FieldError(`ids[${i}]`, 'type', `ids[${i}]: must be the deadLetterId of a dead letter`)
    return id
  })
}

function readLimit (value: unknown): number {
  if (value === undefined || value === null) return Infinity
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw new FieldError('limit', 'range', 'limit: must be a whole number above 0')
  return value
}

/** A name from a body; null, absent and empty mean none. */
function optionalName (body: Record<string, unknown>, field: string): string | null {
  const value = body[field]
  if (value === undefined || value === null || value === '') return null
  if (typeof value !== 'string') throw new FieldError(field, 'type', `${field}: must be a string`)
  checkName(value, field)
  return value
}

/** Some clients send no body at all. */
function optionalObject (request: FastifyRequest): Record<string, unknown> {
  return typeof request.body === 'string' && request.body !== '' ? readObject(request.body) : {}
}
