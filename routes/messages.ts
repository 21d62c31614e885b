import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RegentError } from '../services/errors.ts'
import { FieldError } from '../services/json/field-error.ts'
import { checkName, checkUuid } from '../services/json/names.ts'
import { messageId, parseAddress } from '../services/log/ids.ts'
import { clearQueue, deleteMessage } from '../services/messages/delete.ts'
import { describeMessage } from '../services/messages/detail.ts'
import type { MessageDetail } from '../services/messages/detail.ts'
import { MESSAGE_STATUSES, consumptionMode, listMessages } from '../services/messages/list.ts'
import type { ConsumptionMode, ListedMessage, MessageStatus } from '../services/messages/list.ts'
import type { Available } from '../services/queue/types.ts'
import { describeQueue } from '../services/resources/queues.ts'
import { Query } from './query.ts'
import { LIST_LIMIT, QUEUE_LIST_LIMIT, messageSchemas } from './schemas/messages.ts'

interface MessageParams { partitionId: string, transactionId: string }

/** Browsing messages and deleting them (http-api.md 5.7, 5.13 to 5.15 and the clear route of section 8). */
export async function messageRoutes (app: FastifyInstance): Promise<void> {
  const announce = (events: Available[]): void => { app.queue.announce(events) }

  app.get('/api/v1/messages', { config: { access: 'read', queueIn: 'query' }, schema: messageSchemas.list }, async request => {
    const query = new Query(request)
    const page = query.page(LIST_LIMIT)
    const filter = {
      queue: query.name('queue'),
      partition: query.name('partition'),
      namespace: query.name('ns'),
      task: query.name('task'),
      status: readStatus(query),
      from: query.time('from'),
      to: query.time('to')
    }
    const [messages, mode] = await Promise.all([listMessages(app.postgres, filter, page), consumptionMode(app.postgres, filter)])
    return { messages: messages.map(wireMessage), mode: wireMode(mode), pagination: page }
  })

  app.get<{ Params: { queue: string } }>('/api/v1/status/queues/:queue/messages', { config: { access: 'read', queueIn: 'path' }, schema: messageSchemas.listOfQueue }, async request => {
    const { queue } = request.params
    checkName(queue, 'queue')
    const page = new Query(request).page(QUEUE_LIST_LIMIT)
    await describeQueue(app.postgres, queue)
    const filter = { queue, partition: null, namespace: null, task: null, status: null, from: '-infinity', to: null }
    return (await listMessages(app.postgres, filter, page)).map(message => {
      const { id, transactionId, partitionId, queuePath, partition, status, createdAt } = wireMessage(message)
      return { id, transactionId, partitionId, queuePath, queue, partition, status, createdAt }
    })
  })

  app.get<{ Params: MessageParams }>('/api/v1/messages/:partitionId/:transactionId', { config: { access: 'read', queueIn: 'partition' }, schema: messageSchemas.show }, async (request, reply) => {
    const { partition, transactionId } = readParams(request)
    const message = partition === null ? null : await describeMessage(app.postgres, app.queue.keys, partition, transactionId)
    if (message === null) throw new RegentError('RGT_MESSAGE_UNKNOWN')
    return await reply.type('application/json').send(detailText(message))
  })

  app.delete<{ Params: MessageParams }>('/api/v1/messages/:partitionId/:transactionId', { config: { access: 'write', queueIn: 'partition' }, schema: messageSchemas.remove }, async request => {
    const { partition, transactionId } = readParams(request)
    const success = partition !== null && await deleteMessage({ pool: app.postgres, announce }, partition, transactionId)
    return {
      success,
      partitionId: request.params.partitionId,
      transactionId,
      message: success ? 'Message deleted successfully' : 'Message not found'
    }
  })

  app.delete<{ Params: { queue: string } }>('/api/v1/queues/:queue/clear', { config: { access: 'admin', queueIn: 'path' }, schema: messageSchemas.clear }, async request => {
    const { queue } = request.params
    checkName(queue, 'queue')
    const partition = new Query(request).name('partition')
    return { success: true, queue, partition, cleared: await clearQueue(app.postgres, queue, partition) }
  })
}

/** The partition's number is null when the id is a UUID but none of ours: there is nothing there. */
function readParams (request: FastifyRequest<{ Params: MessageParams }>): { partition: number | null, transactionId: string } {
  const { partitionId, transactionId } = request.params
  checkUuid(partitionId, 'partitionId')
  checkName(transactionId, 'transactionId')
  return { partition: parseAddress(partitionId)?.partition ?? null, transactionId }
}

function readStatus (query: Query): MessageStatus | null {
  const text = query.text('status')
  if (text === null) return null
  const status = MESSAGE_STATUSES.find(known => known === text)
  if (status === undefined) throw new FieldError('status', 'unsupported', `status: must be one of ${MESSAGE_STATUSES.join(', ')}`)
  return status
}

/** What every form of a message begins with. */
function wirePlace ({ partitionId, position, transactionId, queue, partition, namespace, task, status }:
Pick<ListedMessage, 'partitionId' | 'position' | 'transactionId' | 'queue' | 'partition' | 'namespace' | 'task' | 'status'>) {
  return {
    id: messageId(partitionId, position),
    transactionId,
    partitionId: messageId(partitionId, 0),
    queuePath: `${queue}/${partition}`,
    queue,
    partition,
    namespace,
    task,
    status
  }
}

function wireMessage (message: ListedMessage) {
  return {
    ...wirePlace(message),
    queueStatus: message.queueStatus,
    busStatus: { consumedBy: message.consumedBy, totalGroups: message.totalGroups },
    traceId: message.traceId,
    producerSub: message.producerSub,
    traceparent: message.traceparent,
    tracestate: message.tracestate,
    queuePriority: message.priority,
    createdAt: message.createdAt,
    leaseExpiresAt: message.leaseExpiresAt
  }
}

function wireMode ({ hasQueueMode, groups }: ConsumptionMode) {
  const type = hasQueueMode ? groups > 0 ? 'hybrid' : 'queue' : groups > 0 ? 'bus' : 'none'
  return { hasQueueMode, busGroupsCount: groups, type }
}

/** The payload is the client's own JSON text: it is put in as it is. */
function detailText (message: MessageDetail): string {
  const { groups } = message
  const { type, ...mode } = wireMode({ hasQueueMode: message.hasQueueMode, groups: groups.length })
  const rest = JSON.stringify({
    ...wirePlace(message),
    isEncrypted: message.isEncrypted,
    traceId: message.traceId,
    producerSub: message.producerSub,
    traceparent: message.traceparent,
    tracestate: message.tracestate,
    createdAt: message.createdAt,
    errorMessage: message.errorMessage,
    retryCount: message.retryCount,
    leaseExpiresAt: message.leaseExpiresAt,
    queueConfig: {
      leaseTime: message.leaseSeconds,
      retryLimit: message.retryLimit,
      retryDelay: message.retryDelayMs,
      ttl: message.ttlSeconds,
      priority: message.priority
    },
    mode: { ...mode, consumedByGroups: groups.filter(group => group.consumed).length, type },
    consumerGroups: groups,
    // Why there is no payload to show.
    ...(message.dataError === null ? {} : { payloadError: message.dataError })
  })
  return `${rest.slice(0, -1)},"payload":${message.data ?? 'null'}}`
}
