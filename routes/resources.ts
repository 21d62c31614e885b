import type { FastifyInstance } from 'fastify'
import { checkName } from '../services/json/names.ts'
import { messageId, queueUuid } from '../services/log/ids.ts'
import { listLabels } from '../services/resources/labels.ts'
import { readOverview, throughput } from '../services/resources/overview.ts'
import { deletePartition, listPartitions } from '../services/resources/partitions.ts'
import type { PartitionSummary } from '../services/resources/partitions.ts'
import { describeQueue, listQueues } from '../services/resources/queues.ts'
import type { QueueFilter, QueueSummary } from '../services/resources/queues.ts'
import { Query } from './query.ts'
import { DEFAULT_LIMIT, MOST, resourceSchemas } from './schemas/resources.ts'

interface QueueParams { queue: string }

/** Queues, partitions and labels with their counts (http-api.md 5.5, 5.6, 5.9 to 5.12 and two routes of section 8). */
export async function resourceRoutes (app: FastifyInstance): Promise<void> {
  app.get('/api/v1/status/queues', { schema: resourceSchemas.listQueueStatus, config: { access: 'read' } }, async request => {
    const query = new Query(request)
    const page = query.page(DEFAULT_LIMIT)
    const { queues, total } = await listQueues(app.postgres, readFilter(query), page)
    return {
      queues: queues.map(queue => ({ ...wireQueue(queue), messages: { ...messagesOf(queue), pending: queue.unread } })),
      total,
      pagination: page
    }
  })

  app.get<{ Params: QueueParams }>('/api/v1/status/queues/:queue', { schema: resourceSchemas.describeQueueStatus, config: { access: 'read', queueIn: 'path' } }, async request => {
    const { queue, partitions, page } = await readQueue(request.params.queue, new Query(request))
    return {
      queue: {
        id: queueUuid(queue.id),
        name: queue.name,
        namespace: queue.namespace,
        task: queue.task,
        priority: queue.priority,
        createdAt: queue.createdAt,
        config: {
          leaseTime: queue.leaseSeconds,
          retryLimit: queue.retryLimit,
          retryDelay: queue.retryDelayMs,
          ttl: queue.ttlSeconds,
          maxQueueSize: queue.maxSize,
          deadLetterQueue: queue.deadLetterQueue
        }
      },
      partitions: partitions.map(partition => ({
        id: messageId(partition.id, 0),
        name: partition.name,
        createdAt: partition.createdAt,
        messages: partition.counts,
        stats: partition.counts,
        // How many deliveries that took is not kept.
        cursor: { totalConsumed: partition.consumed, batchesConsumed: 0 },
        lastActivity: partition.lastActivity,
        oldestMessage: partition.oldestMessage,
        newestMessage: partition.newestMessage
      })),
      totals: { messages: queue.counts, ...queue.counts },
      pagination: page
    }
  })

  app.get('/api/v1/resources/queues', { schema: resourceSchemas.listQueues, config: { access: 'read' } }, async request => {
    const query = new Query(request)
    const page = query.page(MOST, MOST)
    const { queues, total } = await listQueues(app.postgres, readFilter(query), page)
    return { queues: queues.map(queue => ({ ...wireQueue(queue), messages: messagesOf(queue) })), total, pagination: page }
  })

  app.get<{ Params: QueueParams }>('/api/v1/resources/queues/:queue', { schema: resourceSchemas.describeQueue, config: { access: 'read', queueIn: 'path' } }, async request => {
    const { queue, partitions, page } = await readQueue(request.params.queue, new Query(request))
    return {
      id: queueUuid(queue.id),
      name: queue.name,
      namespace: queue.namespace,
      task: queue.task,
      createdAt: queue.createdAt,
      partitions: partitions.map(partition => ({
        id: messageId(partition.id, 0),
        name: partition.name,
        createdAt: partition.createdAt,
        stats: partition.counts,
        oldestMessage: partition.oldestMessage,
        newestMessage: partition.newestMessage
      })),
      totals: queue.counts,
      pagination: page
    }
  })

  app.get('/api/v1/resources/partitions', { schema: resourceSchemas.listPartitions, config: { access: 'read', queueIn: 'query' } }, async request => {
    const query = new Query(request)
    const page = query.page(DEFAULT_LIMIT)
    const { partitions, total } = await listPartitions(app.postgres, { ...readFilter(query), queue: query.name('queue') }, page)
    return {
      partitions: partitions.map(partition => ({
        id: messageId(partition.id, 0),
        name: partition.name,
        queue: partition.queue,
        namespace: partition.namespace,
        task: partition.task,
        createdAt: partition.createdAt,
        lastActivity: partition.lastActivity,
        oldestMessage: partition.oldestMessage,
        newestMessage: partition.newestMessage,
        messages: partition.counts
      })),
      total,
      pagination: page
    }
  })

  app.delete<{ Params: QueueParams & { partition: string } }>('/api/v1/resources/queues/:queue/partitions/:partition', {
    schema: resourceSchemas.deletePartition, config: { access: 'admin', queueIn: 'path' }
  }, async request => {
    const { queue, partition } = request.params
    checkName(queue, 'queue')
    checkName(partition, 'partition')
    const existed = await deletePartition(app.postgres, queue, partition)
    app.queue.changed(queue)
    if (existed) app.queue.clearRemovals()
    return { deleted: true, queue, partition, existed }
  })

  app.get('/api/v1/resources/namespaces', { schema: resourceSchemas.listNamespaces, config: { access: 'read' } }, async () => ({
    namespaces: (await listLabels(app.postgres, 'namespaces')).map(({ label, queues, partitions, total, pending }) =>
      ({ namespace: label, queues, partitions, messages: { total, pending } }))
  }))

  app.get('/api/v1/resources/tasks', { schema: resourceSchemas.listTasks, config: { access: 'read' } }, async () => ({
    tasks: (await listLabels(app.postgres, 'tasks')).map(({ label, queues, partitions, total, pending }) =>
      ({ task: label, queues, partitions, messages: { total, pending } }))
  }))

  app.get('/api/v1/resources/overview', { schema: resourceSchemas.overview, config: { access: 'read' } }, async () => {
    const [overview, rates] = await Promise.all([readOverview(app.postgres), throughput(app.postgres)])
    return {
      queues: overview.queues,
      partitions: overview.partitions,
      namespaces: overview.namespaces,
      tasks: overview.tasks,
      messages: overview.counts,
      lag: { time: overview.timeLag, offset: overview.offsetLag },
      throughput: rates,
      timestamp: overview.at,
      // Nothing is computed beforehand.
      statsAge: 0
    }
  })

  async function readQueue (name: string, query: Query) {
    checkName(name, 'queue')
    const page = query.page(MOST, MOST)
    const queue = await describeQueue(app.postgres, name)
    const filter = { queue: name, namespace: null, task: null, search: query.name('search') }
    const { partitions, total } = await listPartitions(app.postgres, filter, page)
    return { queue, partitions, page: { ...page, total } }
  }
}

function readFilter (query: Query): QueueFilter {
  return { namespace: query.name('namespace'), task: query.name('task'), search: query.name('search') }
}

function wireQueue ({ id, name, namespace, task, createdAt, partitions }: QueueSummary) {
  return { id: queueUuid(id), name, namespace, task, createdAt, partitions }
}

function messagesOf ({ counts: { total, pending, processing } }: Pick<QueueSummary | PartitionSummary, 'counts'>) {
  return { total, pending, processing }
}
