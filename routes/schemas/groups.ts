import { INT_MAX, INT_MIN } from '../query.ts'
import {
  BODY_ERRORS, DATABASE_ERRORS, OPTIONAL_BODY_ERRORS, count, described, errorResponses, flag, flagParameter, givenTime, list, mapOf, name, number, object, optionalBody,
  orNull, page, params, query, time, uuid
} from './shared.ts'
import type { Operation, Schema } from './shared.ts'

// The compatible server has no limit; one answer with every partition of a large queue would hold up everything else.
export const MOST_PARTITIONS = 10_000
/** The age from which partitions are listed as lagging when none is asked for. */
export const DEFAULT_MIN_LAG_SECONDS = 3600
/** A whole number, and nothing else. */
export const WHOLE_TEXT = /^\s*[+-]?\d+\s*$/

const SUCCESS: Schema = { const: true }
const LEASE = orNull(uuid)
const PARTITIONS_PAGE = page(MOST_PARTITIONS, MOST_PARTITIONS)
const QUERY_ERRORS = errorResponses('RGT_FIELD_INVALID', ...DATABASE_ERRORS)

const SUMMARY = object({
  name,
  queueName: name,
  topics: described(list(name), 'The queue, alone'),
  members: described(count, 'Partitions the group has a place in; fewer than the queue has only while they are being made for a new group'),
  partitionsWithLag: count,
  totalLag: described(count, 'Messages that were not acknowledged, less what was deleted'),
  maxTimeLag: described(count, 'Age of the oldest of them in seconds; 0 when there is none'),
  state: { type: 'string', enum: ['Lagging', 'Stable', 'Dead'], description: 'Lagging: `maxTimeLag` is over 300; Dead: it was never given a message' },
  subscriptionMode: described(orNull({ type: 'string', enum: ['new', 'timestamp'] }), 'Null: it began with every message there was'),
  subscriptionTimestamp: orNull(time),
  subscriptionCreatedAt: orNull(time)
})

const LAGGING = object({
  consumer_group: name,
  queue_name: name,
  partition_name: name,
  partition_id: uuid,
  worker_id: described(LEASE, 'The lease that holds the partition now'),
  offset_lag: count,
  time_lag_seconds: count,
  lag_hours: number,
  oldest_unconsumed_at: time,
  last_consumed_at: described(orNull(time), 'When the group last acknowledged something here')
})

const PLACE = object({
  partition: name,
  workerId: described(LEASE, 'The last lease, which may have run out, until what it holds is acknowledged'),
  lastConsumedAt: described(orNull(time), 'When the group last acknowledged something here'),
  totalConsumed: described(count, 'Messages the group has behind it: acknowledged, or skipped by a seek'),
  offsetLag: count,
  timeLagSeconds: count,
  leaseActive: flag
})

const METADATA = query({
  deleteMetadata: { ...flagParameter('Whether its subscription goes too; otherwise the group starts again by it.'), default: true }
})
const DELETED = { success: SUCCESS, consumerGroup: name }
const DELETED_COUNTS = { deletedPartitions: described(count, 'Partitions the group had a place in; 0 for one that is not there'), metadataDeleted: flag }

const TO_END = object({ toEnd: { const: true, description: 'Behind the last message; wins over the others' } })
const NOT_TO_END = { toEnd: { const: false } }
const TO_START = object({ ...NOT_TO_END, toStart: { const: true, description: 'Before the first message; wins over a time' } }, ['toStart'])
const NEITHER = { ...NOT_TO_END, toStart: { const: false } }
const TO_TIME = object({ ...NEITHER, timestamp: described(givenTime, 'Behind the last message at or before it') }, ['timestamp'])
// What is no object reads as one without fields.
const NOWHERE: Schema = { properties: NEITHER, not: { type: 'object', required: ['timestamp'] } }
const SOUGHT = { success: SUCCESS, consumerGroup: name, queueName: name }

export const groupSchemas = {
  list: {
    operationId: 'listGroups',
    summary: 'Every consumer group of every queue with its exact lag',
    tags: ['groups'],
    response: { 200: { description: 'By group and queue', ...list(SUMMARY) }, ...errorResponses(...DATABASE_ERRORS) }
  },
  lagging: {
    operationId: 'listLaggingPartitions',
    summary: 'Partitions whose oldest unread message is older than some time',
    tags: ['groups'],
    querystring: query({
      minLagSeconds: {
        type: ['integer', 'string'],
        default: DEFAULT_MIN_LAG_SECONDS,
        minimum: INT_MIN,
        maximum: INT_MAX,
        pattern: `^$|${WHOLE_TEXT.source}`,
        description: 'The age from which they are listed, in seconds. What is no whole number of 32 bits is refused.'
      },
      ...PARTITIONS_PAGE
    }),
    response: { 200: { description: 'The most lagging first', ...list(LAGGING) }, ...QUERY_ERRORS }
  },
  describe: {
    operationId: 'getGroup',
    summary: 'Where a consumer group stands in each partition',
    tags: ['groups'],
    params: params({ group: name }),
    querystring: query(PARTITIONS_PAGE),
    response: {
      200: { description: 'By queue; empty for a group that is not there', ...mapOf(object({ partitions: list(PLACE) })) },
      ...QUERY_ERRORS
    }
  },
  remove: {
    operationId: 'deleteGroup',
    summary: 'Delete a consumer group in all its queues',
    description: 'Takes effect at once. Pops that wait for it, or come later, make it anew by their own subscription. Its dead letters stay.',
    tags: ['groups'],
    params: params({ group: name }),
    querystring: METADATA,
    response: { 200: { description: 'It is gone', ...object({ ...DELETED, ...DELETED_COUNTS }) }, ...QUERY_ERRORS }
  },
  removeOfQueue: {
    operationId: 'deleteGroupOfQueue',
    summary: 'Delete a consumer group of one queue',
    tags: ['groups'],
    params: params({ group: name, queue: name }),
    querystring: METADATA,
    response: { 200: { description: 'It is gone', ...object({ ...DELETED, queueName: name, ...DELETED_COUNTS }) }, ...QUERY_ERRORS }
  },
  subscribe: {
    operationId: 'subscribeGroup',
    summary: 'Set from when a consumer group wants messages where it has not started yet',
    tags: ['groups'],
    params: params({ group: name }),
    body: object({ subscriptionTimestamp: givenTime }),
    response: {
      200: {
        description: 'It will start there',
        ...object({ success: SUCCESS, consumerGroup: name, newTimestamp: described(givenTime, 'As it was given'), rowsUpdated: described(count, 'Queues that have such a group') })
      },
      ...errorResponses(...BODY_ERRORS, ...DATABASE_ERRORS)
    }
  },
  seek: {
    operationId: 'seekGroup',
    summary: 'Move a consumer group in all partitions of a queue',
    description: 'Leases end, and what was acknowledged out of order or had failed is forgotten. A seek that was broken off may be repeated.',
    tags: ['groups'],
    params: params({ group: name, queue: name }),
    body: { type: 'object', anyOf: [TO_END, TO_START, TO_TIME] },
    response: {
      200: {
        description: 'It was moved',
        ...object({ ...SOUGHT, seekToEnd: flag, targetTimestamp: orNull(time), partitionsUpdated: described(count, '0 where there is no such group or queue') })
      },
      ...errorResponses(...BODY_ERRORS, ...DATABASE_ERRORS)
    }
  },
  seekPartition: {
    operationId: 'seekGroupInPartition',
    summary: 'Move a consumer group in one partition',
    description: 'Without a body, or with one that says nothing, to the end.',
    tags: ['groups'],
    params: params({ group: name, queue: name, partition: name }),
    body: optionalBody({ anyOf: [TO_END, TO_START, TO_TIME, NOWHERE] }),
    response: {
      200: {
        description: 'It was moved, if it is there',
        ...object({
          ...SOUGHT,
          partitionName: name,
          updated: described(flag, 'Whether there is such a group'),
          cursorMovedTo: described(orNull(time), 'The time of the last message it now has behind it; null: there is none')
        })
      },
      ...errorResponses(...OPTIONAL_BODY_ERRORS, 'RGT_PARTITION_UNKNOWN', ...DATABASE_ERRORS)
    }
  }
} as const satisfies Record<string, Operation>
