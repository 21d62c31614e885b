import { MOST_POINTS, UNITS } from '../../services/analytics/status.ts'
import { BUFFER_STATES } from '../../services/buffer/file-buffer.ts'
import { FAILOVER_STATES } from '../../services/failover/failover.ts'
import { RECENT_WORKER, SERIES, rangeParameters } from './series.ts'
import {
  DATABASE_ERRORS, count, described, errorResponses, flag, integer, list, name, nameParameter, number, object, orNull, query, text, time, uuid, wordParameter
} from './shared.ts'
import type { Operation } from './shared.ts'

export const DEFAULT_UNIT = 'hour'

const TAGS = ['status'] as const
const QUERY_ERRORS = errorResponses('RGT_FIELD_INVALID', ...DATABASE_ERRORS)
const FILTER = {
  queue: nameParameter('Name of the queue.'),
  namespace: nameParameter('Namespace of the queues.'),
  task: nameParameter('Task of the queues.')
}
const OF_PROCESS = described(orNull(number), 'Null where no process was sampled')

const THROUGHPUT = object({
  timestamp: time,
  ingested: described(count, 'Messages pushed'),
  processed: described(count, 'Messages acknowledged'),
  popMessages: count,
  ingestedPerSecond: number,
  processedPerSecond: number,
  popPerSecond: number,
  avgLagMs: described(number, 'Age of messages at their delivery'),
  maxLagMs: number,
  avgEventLoopLagMs: number,
  maxEventLoopLagMs: number,
  minFreeSlots: described(number, 'Fewest idle connections to the database'),
  dbErrors: count,
  ackFailed: count,
  dlqCount: count,
  queenCpuUserPct: OF_PROCESS,
  queenCpuSysPct: OF_PROCESS,
  queenRssMb: OF_PROCESS,
  dbPoolActive: OF_PROCESS,
  dbPoolIdle: OF_PROCESS,
  dbPoolSize: OF_PROCESS
})

/** State of the file buffer, with what there is to say of one. */
const BUFFER = {
  pending: described(count, 'Messages that are kept here until they are stored'),
  failed: described(count, 'Things in the quarantine'),
  dbHealthy: described(flag, 'Whether the database answers'),
  worker: described(count, 'Number at the end of the name of the process'),
  state: { type: 'string', enum: FAILOVER_STATES, description: 'Where pushes go' }
}

export const statusSchemas = {
  status: {
    operationId: 'getStatus',
    summary: 'Throughput, backlog, leases, processes and errors',
    description: '`queue`, `namespace` and `task` hold for throughput and queues; everything else is of all of them.',
    tags: TAGS,
    querystring: query({ ...rangeParameters('an hour'), ...FILTER }),
    response: {
      200: {
        description: 'The whole in figures',
        ...object({
          ...SERIES,
          pointCount: count,
          throughput: described(list(THROUGHPUT), 'Newest first'),
          queues: described(list(object({ id: uuid, name, namespace: text, task: text, partitions: count, totalConsumed: count })), 'Those that were ever pushed to'),
          messages: object({
            total: described(count, 'Messages ever pushed'),
            pending: count,
            processing: { const: 0, description: 'They are pending' },
            completed: count,
            failed: described(count, 'Failed deliveries'),
            deadLetter: count,
            requests: object({ push: count, pop: count, ack: count }),
            batchEfficiency: described(object({ push: number, pop: number, ack: number }), 'Messages of a request')
          }),
          leases: object({
            active: count,
            partitionsWithLeases: count,
            totalBatchSize: described(count, 'Messages they cover'),
            totalAcked: described(count, 'Those of them that were acknowledged out of order')
          }),
          deadLetterQueue: object({
            totalMessages: count,
            affectedPartitions: { const: 0, description: 'Not counted' },
            topErrors: { type: 'array', maxItems: 0, description: 'Not counted' }
          }),
          workers: described(list(object(RECENT_WORKER)), 'Processes of the last minutes'),
          errors: object({ dbErrors: count, ackFailed: count, dlqMessages: count }),
          statsAge: { type: 'integer', minimum: -1, description: 'Seconds since the totals were written; -1: they never were' }
        })
      },
      ...QUERY_ERRORS
    }
  },
  pushed: {
    operationId: 'countPushedMessages',
    summary: 'Messages pushed per minute, hour, day, week or month',
    tags: TAGS,
    querystring: query({
      ...rangeParameters('a day'),
      interval: { ...wordParameter(Object.keys(UNITS), `What to count them by; no more than ${MOST_POINTS} points are shown.`), default: DEFAULT_UNIT },
      ...FILTER
    }),
    response: {
      200: {
        description: 'Oldest first, also where there were none',
        ...object({ dataPoints: list(object({ timestamp: time, messages: count })), interval: { type: 'string', enum: Object.keys(UNITS) }, from: time, to: time })
      },
      ...QUERY_ERRORS
    }
  },
  buffers: {
    operationId: 'getBuffers',
    summary: 'The file buffer of this process, and whether the database answers',
    tags: TAGS,
    response: {
      200: {
        description: 'What it holds',
        oneOf: [
          object({ ...BUFFER, buffer: { type: 'string', enum: BUFFER_STATES }, bytes: count, oldestAgeMs: described(orNull(integer), 'Null: it is empty') }),
          object({ ...BUFFER, buffer: { type: 'null' }, note: described(text, 'That there is none') })
        ]
      }
    }
  }
} as const satisfies Record<string, Operation>
