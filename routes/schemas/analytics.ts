import { POSTGRES_STATS } from './postgres-stats.ts'
import { RECENT_WORKER, SERIES, rangeParameters } from './series.ts'
import { DATABASE_ERRORS, count, described, errorResponses, integer, list, name, nameParameter, number, object, orNull, query, text, time } from './shared.ts'
import type { Operation, Schema } from './shared.ts'

/** Workers are known by number here. */
export const WORKER_NUMBER = /^-?\d{1,9}$/

const TAGS = ['status'] as const
const RANGE = rangeParameters('an hour')
const QUEUE_RANGE = query({ ...RANGE, queue: nameParameter('Name of the queue; all without it.') })
const HOSTNAME = nameParameter('Name of the host the processes run on.')
const QUERY_ERRORS = errorResponses('RGT_FIELD_INVALID', ...DATABASE_ERRORS)
const LAG = { avgLagMs: described(number, 'Age of messages at their delivery'), maxLagMs: number }

const SAMPLED = object({ avg: number, min: number, max: number, last: number })
const NONE: Schema = { type: 'null' }
const NOT_COUNTED = { count: NONE, latency_us: NONE, items: NONE }

const FIGURES = object({
  cpu: object({ user_us: SAMPLED, system_us: SAMPLED }),
  memory: object({ rss_bytes: SAMPLED, virtual_bytes: SAMPLED }),
  database: object({ pool_size: SAMPLED, pool_idle: SAMPLED, pool_active: SAMPLED }),
  threadpool: described(object({
    db: object({ pool_size: SAMPLED, queue_size: SAMPLED }),
    system: object({ pool_size: SAMPLED, queue_size: SAMPLED })
  }), 'There are no threads: what waits for the database waits for a connection'),
  registries: object({ response: SAMPLED }),
  shared_state: described(object({
    enabled: { const: false },
    sidecar_ops: object({ push: object(NOT_COUNTED), pop: object(NOT_COUNTED), ack: object(NOT_COUNTED) }),
    queue_backoff: object({ queues_with_backoff: NONE, total_backed_off_groups: NONE, avg_interval_ms: NONE }),
    queue_backoff_summary: NONE,
    queue_config_cache: object({ size: NONE, hits: NONE, misses: NONE }),
    consumer_presence: object({ queues_tracked: NONE, servers_tracked: NONE, total_registrations: NONE }),
    server_health: object({ alive: NONE, dead: NONE }),
    transport: object({ sent: NONE, received: NONE, dropped: NONE })
  }), 'Processes share the database and need no other state in common')
})

const WORKER_POINT = object({
  timestamp: time,
  pushMessages: count,
  popMessages: count,
  ackMessages: count,
  pushRequests: count,
  popRequests: count,
  ackRequests: count,
  jobsDone: count,
  pushPerSecond: number,
  popPerSecond: number,
  ackPerSecond: number,
  avgEventLoopLagMs: number,
  maxEventLoopLagMs: number,
  avgFreeSlots: described(number, 'Idle connections to the database'),
  minFreeSlots: number,
  dbConnections: number,
  avgJobQueueSize: described(number, 'Calls that wait for one'),
  maxJobQueueSize: number,
  backoffSize: { const: 0 },
  ...LAG,
  lagCount: count,
  dbErrors: count,
  ackSuccess: count,
  ackFailed: count,
  dlqCount: count
})

const TOTALS = object({
  totalPushMessages: count,
  totalPopMessages: count,
  totalAckMessages: count,
  totalPushRequests: count,
  totalPopRequests: count,
  totalAckRequests: count,
  totalDbErrors: count,
  totalAckFailed: count,
  totalDlq: count,
  pendingMessages: described(integer, 'Pushed less delivered: below 0 where messages came again')
})

const DELETED = { retentionMsgs: count, completedRetentionMsgs: count, evictionMsgs: count, totalMsgs: count, eventCount: count }

export const analyticsSchemas = {
  systemMetrics: {
    operationId: 'getSystemMetrics',
    summary: 'Sampled figures of the processes over time',
    tags: TAGS,
    querystring: query({ ...RANGE, hostname: HOSTNAME, workerId: nameParameter('Name of the process (`WORKER_ID`).') }),
    response: {
      200: {
        description: 'By process, oldest first',
        ...object({
          ...SERIES,
          pointCount: count,
          replicaCount: count,
          replicas: list(object({
            hostname: text,
            port: integer,
            workerId: text,
            timeSeries: list(object({ timestamp: time, sampleCount: count, metrics: FIGURES }))
          }))
        })
      },
      ...QUERY_ERRORS
    }
  },
  workerMetrics: {
    operationId: 'getWorkerMetrics',
    summary: 'What the processes did over time',
    tags: TAGS,
    querystring: query({
      ...RANGE,
      hostname: HOSTNAME,
      workerId: { type: ['integer', 'string'], pattern: `^$|${WORKER_NUMBER.source}`, minimum: -999_999_999, maximum: 999_999_999, description: 'Number at the end of the name of the process.' }
    }),
    response: {
      200: {
        description: 'All processes that fit, added up',
        ...object({
          ...SERIES,
          pointCount: count,
          timeSeries: described(list(WORKER_POINT), 'Newest first'),
          workers: described(list(object({ ...RECENT_WORKER, lastSeen: time, backoffSize: { const: 0 } })), 'Those that wrote something in the last minutes'),
          queues: described(list(object({ queueName: name, popCount: count, ...LAG })), 'Those that messages were taken from, the busiest first'),
          summary: {
            description: 'All processes since the database was set up; empty when none has written anything',
            oneOf: [TOTALS, { type: 'object', maxProperties: 0 }]
          }
        })
      },
      ...QUERY_ERRORS
    }
  },
  queueLag: {
    operationId: 'getQueueLag',
    summary: 'Age of messages at their delivery, by queue and minute (hour, once it is old)',
    tags: TAGS,
    querystring: QUEUE_RANGE,
    response: {
      200: { description: 'Newest first', ...list(object({ bucketTime: time, queueName: name, popCount: count, ...LAG })) },
      ...QUERY_ERRORS
    }
  },
  queueOperations: {
    operationId: 'getQueueOperations',
    summary: 'What happened to queues over time',
    tags: TAGS,
    querystring: QUEUE_RANGE,
    response: {
      200: {
        description: 'Oldest first',
        ...object({
          ...SERIES,
          queues: list(name),
          series: list(object({
            bucket: time,
            queueName: name,
            pushRequests: count,
            pushMessages: count,
            popMessages: count,
            popEmpty: count,
            ackRequests: count,
            ackSuccess: count,
            ackFailed: count,
            transactions: count,
            partitionsCreated: count,
            partitionsDeleted: count,
            partitionCount: described(orNull(count), 'Null: it was not counted'),
            ...LAG,
            parkedCount: described(number, 'Pops that waited, on average'),
            pushPerSecond: number,
            popPerSecond: number,
            ackPerSecond: number,
            emptyPerSecond: number
          }))
        })
      },
      ...QUERY_ERRORS
    }
  },
  parkedReplicas: {
    operationId: 'getParkedPops',
    summary: 'How many pops waited, by queue and process',
    tags: TAGS,
    querystring: QUEUE_RANGE,
    response: {
      200: {
        description: 'Oldest first',
        ...object({
          ...SERIES,
          series: list(object({ bucket: time, queueName: name, hostname: text, workerId: integer, parkedCount: number })),
          replicas: list(object({ hostname: text, workerId: integer }))
        })
      },
      ...QUERY_ERRORS
    }
  },
  retention: {
    operationId: 'getRetention',
    summary: 'What the background jobs deleted',
    tags: TAGS,
    querystring: QUEUE_RANGE,
    response: {
      200: { description: 'Oldest first', ...object({ ...SERIES, series: list(object({ bucket: time, ...DELETED })), totals: object(DELETED) }) },
      ...QUERY_ERRORS
    }
  },
  postgresStats: {
    operationId: 'getPostgresStats',
    summary: 'Caches, sizes, vacuum and running statements of the schema in PostgreSQL',
    tags: TAGS,
    response: { 200: { description: 'What PostgreSQL knows about itself', ...POSTGRES_STATS }, ...errorResponses(...DATABASE_ERRORS) }
  }
} as const satisfies Record<string, Operation>
