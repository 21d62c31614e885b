import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RegentError } from '../services/errors.ts'
import { deleteGroup } from '../services/groups/deletion.ts'
import { describeGroup, listGroups, listLagging } from '../services/groups/list.ts'
import { seekPartition, seekQueue, wireMillis } from '../services/groups/seek.ts'
import type { Announce, SeekTarget } from '../services/groups/seek.ts'
import { updateSubscription } from '../services/groups/subscription.ts'
import { FieldError } from '../services/json/field-error.ts'
import { checkName } from '../services/json/names.ts'
import { checkTime } from '../services/json/time.ts'
import { readObject, requiredText } from './body.ts'
import { Query } from './query.ts'
import { DEFAULT_MIN_LAG_SECONDS, MOST_PARTITIONS, WHOLE_TEXT, groupSchemas } from './schemas/groups.ts'

interface Group { group: string }
interface GroupQueue extends Group { queue: string }
interface GroupPartition extends GroupQueue { partition: string }

const BASE = '/api/v1/consumer-groups'

/** Consumer groups: lists with lag, deletion, subscription and seek (http-api.md, section 4). */
export async function groupRoutes (app: FastifyInstance): Promise<void> {
  const announce: Announce = events => { app.queue.announce(events) }

  app.get(BASE, { schema: groupSchemas.list, config: { access: 'read' } }, async () => await listGroups(app.postgres))

  app.get(`${BASE}/lagging`, { schema: groupSchemas.lagging, config: { access: 'read' } }, async request => {
    const query = new Query(request)
    return await listLagging(app.postgres, minLagSeconds(query), query.page(MOST_PARTITIONS, MOST_PARTITIONS))
  })

  app.get<{ Params: Group }>(`${BASE}/:group`, { schema: groupSchemas.describe, config: { access: 'read' } }, async request => {
    checkNames(request.params)
    const page = new Query(request).page(MOST_PARTITIONS, MOST_PARTITIONS)
    return Object.fromEntries(await describeGroup(app.postgres, request.params.group, page))
  })

  app.delete<{ Params: Group }>(`${BASE}/:group`, { schema: groupSchemas.remove, config: { access: 'admin' } }, async request =>
    await remove(request, request.params.group, null))

  app.delete<{ Params: GroupQueue }>(`${BASE}/:group/queues/:queue`, {
    schema: groupSchemas.removeOfQueue, config: { access: 'admin', queueIn: 'path' }
  }, async request =>
    await remove(request, request.params.group, request.params.queue))

  app.post<{ Params: Group }>(`${BASE}/:group/subscription`, { schema: groupSchemas.subscribe, config: { access: 'write' } }, async request => {
    checkNames(request.params)
    const { group } = request.params
    const since = subscriptionTimestamp(readObject(requiredText(request)))
    return { success: true, consumerGroup: group, newTimestamp: since, rowsUpdated: await updateSubscription(app.postgres, group, since) }
  })

  app.post<{ Params: GroupQueue }>(`${BASE}/:group/queues/:queue/seek`, {
    schema: groupSchemas.seek, config: { access: 'write', queueIn: 'path' }
  }, async request => {
    checkNames(request.params)
    const { group, queue } = request.params
    const target = seekTarget(readObject(requiredText(request)))
    if (target === null) throw new FieldError('toEnd', 'required', "Must specify either 'toEnd': true or 'timestamp'")
    const partitionsUpdated = await seekQueue(app.postgres, announce, queue, group, target)
    return {
      success: true,
      consumerGroup: group,
      queueName: queue,
      seekToEnd: target.to === 'end',
      targetTimestamp: target.to === 'time' ? await wireMillis(app.postgres, target.time) : null,
      partitionsUpdated
    }
  })

  // Clients send nothing, `{}` or `[]`, and mean the end.
  app.post<{ Params: GroupPartition }>(`${BASE}/:group/queues/:queue/partitions/:partition/seek`, {
    schema: groupSchemas.seekPartition, config: { access: 'write', queueIn: 'path' }
  }, async request => {
    checkNames(request.params)
    const { group, queue, partition } = request.params
    const text = typeof request.body === 'string' ? request.body : ''
    const target = (text === '' ? null : seekTarget(readObject(text))) ?? { to: 'end' }
    const sought = await seekPartition(app.postgres, announce, queue, partition, group, target)
    if (sought === null) throw new RegentError('RGT_PARTITION_UNKNOWN')
    return { success: true, consumerGroup: group, queueName: queue, partitionName: partition, updated: sought.updated, cursorMovedTo: sought.movedTo }
  })

  async function remove (request: FastifyRequest, group: string, queue: string | null): Promise<object> {
    checkNames(queue === null ? { group } : { group, queue })
    const query = new Query(request)
    const metadataDeleted = query.text('deleteMetadata') === null || query.flag('deleteMetadata')
    const deletedPartitions = await deleteGroup(app.postgres, announce, { group, queue, keepsSubscription: !metadataDeleted })
    app.queue.clearRemovals()
    return { success: true, consumerGroup: group, ...(queue === null ? {} : { queueName: queue }), deletedPartitions, metadataDeleted }
  }
}

function checkNames (names: object): void {
  for (const [field, name] of Object.entries(names)) checkName(name, field)
}

/** The age from which a partition is listed; unlike other numbers in queries it is refused when it cannot be read. */
function minLagSeconds (query: Query): number {
  const text = query.text('minLagSeconds')
  const seconds = text === null ? DEFAULT_MIN_LAG_SECONDS : query.integer('minLagSeconds', NaN)
  if (Number.isNaN(seconds) || (text !== null && !WHOLE_TEXT.test(text))) {
    throw new FieldError('minLagSeconds', 'type', 'minLagSeconds: must be a whole number of seconds')
  }
  return seconds
}

function subscriptionTimestamp ({ subscriptionTimestamp: since }: Record<string, unknown>): string {
  if (since === undefined) throw new FieldError('subscriptionTimestamp', 'required', 'Missing subscriptionTimestamp in request body')
  return time(since, 'subscriptionTimestamp')
}

/** What a body asks for, null when nothing: `toEnd` wins, then our own `toStart`. Throws FieldError. */
function seekTarget ({ toEnd, toStart, timestamp }: Record<string, unknown>): SeekTarget | null {
  if (flag(toEnd, 'toEnd')) return { to: 'end' }
  if (flag(toStart, 'toStart')) return { to: 'start' }
  return timestamp === undefined ? null : { to: 'time', time: time(timestamp, 'timestamp') }
}

function flag (value: unknown, field: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw new FieldError(field, 'type', `${field}: must be true or false`)
  return value === true
}

function time (value: unknown, field: string): string {
  if (typeof value !== 'string') throw new FieldError(field, 'type', `${field}: must be an ISO 8601 time`)
  return checkTime(value, field)
}
