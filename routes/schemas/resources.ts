import {
  DATABASE_ERRORS, count, described, errorResponses, flag, integer, list, name, nameParameter, number, object, orNull, page, pagination, params, query, text, time, uuid
} from './shared.ts'
import type { Operation, Schema } from './shared.ts'

export const DEFAULT_LIMIT = 100
// The compatible server has no limit; one answer with every partition of a large queue would hold up everything else.
export const MOST = 10_000

const TAGS = ['queues'] as const
const LABEL = described(text, 'Empty when it has none')
const QUERY_ERRORS = errorResponses('RGT_FIELD_INVALID', ...DATABASE_ERRORS)
const QUEUE_ERRORS = errorResponses('RGT_FIELD_INVALID', 'RGT_QUEUE_UNKNOWN', ...DATABASE_ERRORS)

const COUNTS = {
  total: count,
  pending: described(count, 'Of the group with most of them in each partition, without those being processed; everything where there is no group'),
  processing: described(count, 'Under a live lease'),
  completed: count,
  failed: { const: 0, description: 'What failed is pending again or a dead letter' },
  deadLetter: count
}
const { total, pending, processing } = COUNTS
const LAST_ACTIVITY = described(orNull(time), 'When it was last written to; null: never')
const SPAN = {
  oldestMessage: described(orNull(time), 'Null when it holds none'),
  newestMessage: described(orNull(time), 'Null when it holds none')
}

const QUEUE = { id: uuid, name, namespace: LABEL, task: LABEL, createdAt: time, partitions: count }
const PARTITION = { id: uuid, name, createdAt: time }
const SEARCH = nameParameter('A part of the name, in any case.')
const LABELS = { namespace: nameParameter('Namespace of the queues.'), task: nameParameter('Task of the queues.') }
const PARTITION_SEARCH = nameParameter('A part of the partition\'s name, in any case.')
const PARTITIONS_QUERY = query({ search: PARTITION_SEARCH, ...page(MOST, MOST) })
const PARTITIONS_PAGE = object({ limit: count, offset: count, total: described(count, 'Partitions that fit in all') })

function labels (field: string, label: string): Schema {
  return object({ [field]: list(object({ [label]: name, queues: count, partitions: count, messages: object({ total, pending }) })) })
}

function spread (of: Schema, description: string): Schema {
  return described(object({ avg: of, median: of, min: of, max: of }), description)
}

export const resourceSchemas = {
  listQueueStatus: {
    operationId: 'listQueueStatus',
    summary: 'Queues with counts, the newest first',
    tags: TAGS,
    querystring: query({ ...LABELS, search: SEARCH, ...page(DEFAULT_LIMIT) }),
    response: {
      200: {
        description: 'A page of them; what is being processed is pending here too',
        ...object({ queues: list(object({ ...QUEUE, messages: object({ total, pending: count, processing }) })), total: count, pagination })
      },
      ...QUERY_ERRORS
    }
  },
  describeQueueStatus: {
    operationId: 'getQueueStatus',
    summary: 'A queue with its options and partitions',
    tags: TAGS,
    params: params({ queue: name }),
    querystring: PARTITIONS_QUERY,
    response: {
      200: {
        description: 'The queue',
        ...object({
          queue: object({
            id: uuid,
            name,
            namespace: LABEL,
            task: LABEL,
            priority: integer,
            createdAt: time,
            config: object({ leaseTime: count, retryLimit: count, retryDelay: count, ttl: count, maxQueueSize: count, deadLetterQueue: flag })
          }),
          partitions: list(object({
            ...PARTITION,
            messages: object(COUNTS),
            stats: described(object(COUNTS), 'The same'),
            cursor: object({
              totalConsumed: described(count, 'Messages that were acknowledged, of all groups together'),
              batchesConsumed: { const: 0, description: 'Not recorded' }
            }),
            lastActivity: LAST_ACTIVITY,
            ...SPAN
          })),
          totals: object({ messages: described(object(COUNTS), 'The same'), ...COUNTS }),
          pagination: PARTITIONS_PAGE
        })
      },
      ...QUEUE_ERRORS
    }
  },
  listQueues: {
    operationId: 'listQueues',
    summary: 'Queues with counts, the newest first, without those being processed among the pending',
    tags: TAGS,
    querystring: query({ ...LABELS, search: SEARCH, ...page(MOST, MOST) }),
    response: {
      200: {
        description: 'A page of them',
        ...object({ queues: list(object({ ...QUEUE, messages: object({ total, pending, processing }) })), total: count, pagination })
      },
      ...QUERY_ERRORS
    }
  },
  describeQueue: {
    operationId: 'getQueue',
    summary: 'A queue with its partitions',
    tags: TAGS,
    params: params({ queue: name }),
    querystring: PARTITIONS_QUERY,
    response: {
      200: {
        description: 'The queue',
        ...object({
          id: uuid,
          name,
          namespace: LABEL,
          task: LABEL,
          createdAt: time,
          partitions: list(object({ ...PARTITION, stats: object(COUNTS), ...SPAN })),
          totals: object(COUNTS),
          pagination: PARTITIONS_PAGE
        })
      },
      ...QUEUE_ERRORS
    }
  },
  listPartitions: {
    operationId: 'listPartitions',
    summary: 'Partitions with counts, by queue and name',
    tags: TAGS,
    querystring: query({
      queue: nameParameter('Name of the queue.'),
      ...LABELS,
      search: PARTITION_SEARCH,
      ...page(DEFAULT_LIMIT)
    }),
    response: {
      200: {
        description: 'A page of them',
        ...object({
          partitions: list(object({
            ...PARTITION,
            queue: name,
            namespace: LABEL,
            task: LABEL,
            lastActivity: LAST_ACTIVITY,
            ...SPAN,
            messages: object(COUNTS)
          })),
          total: count,
          pagination
        })
      },
      ...QUERY_ERRORS
    }
  },
  deletePartition: {
    operationId: 'deletePartition',
    summary: 'Delete a partition with everything in it',
    description: 'The next push to it makes it anew.',
    tags: TAGS,
    params: params({ queue: name, partition: name }),
    response: {
      200: {
        description: 'It is not there any more',
        ...object({ deleted: { const: true }, queue: name, partition: name, existed: described(flag, 'Whether it was there') })
      },
      ...QUERY_ERRORS
    }
  },
  listNamespaces: {
    operationId: 'listNamespaces',
    summary: 'Namespaces of queues with counts, by name',
    tags: TAGS,
    response: { 200: { description: 'All that are in use', ...labels('namespaces', 'namespace') }, ...errorResponses(...DATABASE_ERRORS) }
  },
  listTasks: {
    operationId: 'listTasks',
    summary: 'Tasks of queues with counts, by name',
    tags: TAGS,
    response: { 200: { description: 'All that are in use', ...labels('tasks', 'task') }, ...errorResponses(...DATABASE_ERRORS) }
  },
  overview: {
    operationId: 'getOverview',
    summary: 'Everything in figures',
    tags: TAGS,
    response: {
      200: {
        description: 'As it is now',
        ...object({
          queues: count,
          partitions: count,
          namespaces: count,
          tasks: count,
          messages: described(object(COUNTS), 'Those of all groups added up'),
          lag: object({
            time: spread(integer, 'Age in seconds of the first unread message, over each group and partition with one'),
            offset: spread(count, 'How many unread messages there are, over the same')
          }),
          throughput: described(object({ ingestedPerSecond: number, processedPerSecond: number }), 'Messages pushed and acknowledged, over the last five minutes'),
          timestamp: time,
          statsAge: { const: 0, description: 'Nothing is computed beforehand' }
        })
      },
      ...errorResponses(...DATABASE_ERRORS)
    }
  }
} as const satisfies Record<string, Operation>
