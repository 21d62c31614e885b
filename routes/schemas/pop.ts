import { ISO_TIME } from '../../services/json/time.ts'
import { QUEUE_MODE } from '../../services/queue/types.ts'
import { INT_MAX } from '../query.ts'
import type { Whole } from '../query.ts'
import {
  OF_TRACE, anything, count, described, errorResponses, flag, flagParameter, list, name, nameParameter, object, orNull, params, query, text, textParameter,
  time, uuid, wholeParameter
} from './shared.ts'
import type { Operation, Schema } from './shared.ts'

export interface PopRouteOptions {
  defaultTimeoutMs: number
  defaultBatchSize: number
  defaultSubscriptionMode: string
  maxBatchSize: number
}

const MOST_PARTITIONS = 10_000
const START_WORDS = ['earliest', 'now', 'latest']

/** The numbers of a pop's query. */
export function popNumbers ({ defaultBatchSize, maxBatchSize, defaultTimeoutMs }: PopRouteOptions): Record<'batch' | 'partitions' | 'timeout', Whole> {
  return {
    batch: { default: defaultBatchSize, min: 1, max: maxBatchSize },
    partitions: { default: 1, min: 1, max: MOST_PARTITIONS },
    timeout: { default: defaultTimeoutMs, min: 0, max: INT_MAX }
  }
}

/** The three ways to pop: from one partition, from any of a queue, from any queue with a label. */
export function popSchemas (options: PopRouteOptions): Record<'ofPartition' | 'ofQueue' | 'byLabel', Operation> {
  const common = { tags: ['messages'], response: RESPONSES } as const
  const parameters = popParameters(options)
  return {
    ofPartition: {
      operationId: 'popPartition',
      summary: 'Take messages of one partition',
      params: params({ queue: name, partition: name }),
      querystring: query(parameters),
      ...common
    },
    ofQueue: {
      operationId: 'popQueue',
      summary: 'Take messages of any partition of a queue',
      description: 'Partitions are taken in turn: the one that has waited longest comes first. HEAD is not answered: it would take messages and throw them away.',
      params: params({ queue: name }),
      querystring: query(parameters),
      ...common
    },
    byLabel: {
      operationId: 'popLabelled',
      summary: 'Take messages of any queue with a label, by the priority of the queues',
      description: '`namespace` or `task` is needed; with both, a queue has to have both.',
      querystring: query({ namespace: nameParameter('Namespace of the queues.'), task: nameParameter('Task of the queues.'), ...parameters }),
      ...common
    }
  }
}

function popParameters (options: PopRouteOptions): Record<string, Schema> {
  const { batch, partitions, timeout } = popNumbers(options)
  return {
    batch: wholeParameter(batch, 'Most messages, over all partitions together.'),
    partitions: wholeParameter(partitions, 'Most partitions to take them from.'),
    wait: flagParameter('Whether to wait for messages when there are none.'),
    timeout: wholeParameter(timeout, 'Longest wait in milliseconds.'),
    consumerGroup: nameParameter(`The group that reads, made if there is none of this name; without it the queue is consumed without groups (\`${QUEUE_MODE}\`).`),
    autoAck: flagParameter('Whether the messages count as acknowledged once they are sent: then there is no lease, and each comes at most once.'),
    subscriptionMode: textParameter(`Where a group that this pop makes begins: \`all\` or \`earliest\`; \`new\`, \`new-only\` or \`latest\`; \`timestamp\`, which needs \`subscriptionFrom\`. Any other text says nothing. Default: \`${options.defaultSubscriptionMode || 'all'}\`.`),
    subscriptionFrom: {
      type: 'string',
      pattern: `^(${START_WORDS.join('|')})?$|${ISO_TIME.source}`,
      description: `The same by a time as ISO 8601, or ${START_WORDS.map(word => `\`${word}\``).join(', ')}; wins over the mode. Read only with \`consumerGroup\`.`
    }
  }
}

const MESSAGE_FIELDS = {
  id: described(uuid, 'Sorts in the order of delivery within a partition'),
  transactionId: described(text, 'What it is acknowledged by, together with `partitionId`'),
  partitionId: uuid,
  partition: name,
  queue: name,
  consumerGroup: name,
  leaseId: described(text, 'Empty with `autoAck`'),
  createdAt: time,
  data: described(anything, 'The payload, as it was pushed'),
  traceId: orNull(uuid),
  producerSub: described(orNull(text), 'The subject of the token it was pushed with'),
  retryCount: described(count, 'How often it has failed before'),
  deliveryCount: described(count, 'How often it was delivered, with this time')
}

const MESSAGE = object({ ...MESSAGE_FIELDS, ...OF_TRACE }, Object.keys(MESSAGE_FIELDS))

const RESPONSES = {
  200: {
    description: 'What there was, possibly nothing',
    ...object({
      success: { const: true },
      queue: described(text, 'The queue of the messages, or the one that was asked for; empty when none was'),
      partition: described(text, 'The first message\'s partition, or the one that was asked for; empty when none was'),
      partitionId: orNull(uuid),
      leaseId: described(orNull(text), 'One lease for all of them; null when there are none, empty with `autoAck`'),
      consumerGroup: name,
      partitionsClaimed: count,
      messages: list(MESSAGE),
      paused: described(flag, 'Pops are held: there may be messages')
    }, ['success', 'queue', 'partition', 'partitionId', 'leaseId', 'consumerGroup', 'messages'])
  },
  ...errorResponses('RGT_FIELD_INVALID', 'RGT_MESSAGE_UNREADABLE', 'RGT_OVERLOADED')
}
