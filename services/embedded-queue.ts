import { RegentError } from './errors.ts'
import { checkName, checkUuid } from './json/names.ts'
import { messageId } from './log/ids.ts'
import type { Delivery, Subscription } from './poll/types.ts'
import type { Engine } from './queue/engine.ts'
import { messagesIn } from './queue/messages-in.ts'
import { readQueueOptions } from './queue/queue-options.ts'
import type { QueueOptions } from './queue/queue-options.ts'
import { QUEUE_MODE } from './queue/types.ts'
import type { Acknowledgement, AckResult, AckStatus, NewMessage } from './queue/types.ts'

/** A message to push from code. */
export interface MessageInput {
  queue: string
  /** `Default` unless given. */
  partition?: string
  /** Anything JSON can hold. */
  payload: unknown
  /** Idempotency key within the partition; made unless given. */
  transactionId?: string
  /** A UUID to correlate by. */
  traceId?: string
}

export interface PushedMessage {
  /** `duplicate`: stored before; the id is the first one's. */
  status: 'queued' | 'duplicate'
  id: string
  partitionId: string
  transactionId: string
}

export interface PopInput {
  /** A queue, or else `namespace` and/or `task`. */
  queue?: string
  partition?: string
  namespace?: string
  task?: string
  /** Consumer group; consumers without one share the queue's own cursor. */
  group?: string
  /** Most messages, 1 unless given; most partitions, 1 unless given. */
  batch?: number
  partitions?: number
  /** Commit on delivery, at most once, and take no lease. */
  autoAck?: boolean
  /** Where the group starts if this creates it: every message unless given. */
  subscription?: Subscription
  /** Wait this long for messages, in milliseconds; 0 unless given. */
  waitMs?: number
  /** Abort to stop waiting; what was just claimed is given back. */
  signal?: AbortSignal
}

export interface PoppedMessage {
  id: string
  queue: string
  partition: string
  partitionId: string
  group: string
  transactionId: string
  traceId: string | null
  producerSub: string | null
  /** UTC, with microseconds. */
  createdAt: string
  /** Null with `autoAck`. */
  leaseId: string | null
  /** This delivery included. */
  deliveryCount: number
  /** Earlier deliveries reported as failed. */
  retryCount: number
  data: unknown
  /** The payload as it was pushed, where `data` would lose digits or duplicate keys. */
  dataText: string
}

/** What identifies a delivered message; any `PoppedMessage` does. */
export type AckInput = Pick<PoppedMessage, 'transactionId' | 'partitionId' | 'group' | 'leaseId'>

const DATA_KEY = ',"data":'

/** The queue as embedding code uses it: the engine with checks and parsed payloads. */
export class EmbeddedQueue {
  readonly #engine: () => Engine | null
  readonly #limits: { maxBatchSize: number }

  /** `engine` returns null until the host is ready. */
  constructor (engine: () => Engine | null, limits: { maxBatchSize: number }) {
    this.#engine = engine
    this.#limits = limits
  }

  /** Store messages; resolves once they are committed, in order. Throws FieldError and RegentError. */
  async push (messages: readonly MessageInput[]): Promise<PushedMessage[]> {
    const results = await this.#ready().push(messages.map(newMessage))
    return results.map(({ status, partitionId, position, transactionId }) =>
      ({ status, id: messageId(partitionId, position), partitionId: messageId(partitionId, 0), transactionId }))
  }

  /** Take messages; an empty array when there are none in time. Throws FieldError for names that cannot be. */
  async pop (input: PopInput): Promise<PoppedMessage[]> {
    const { queue = null, partition = null, namespace = null, task = null, group = QUEUE_MODE } = input
    for (const [field, value] of Object.entries({ queue, partition, namespace, task, group })) {
      if (value !== null) checkName(value, field)
    }
    const { batch = 1, partitions = 1, autoAck = false, subscription = { mode: 'all' }, waitMs = 0, signal } = input
    const delivery = await this.#ready().pop({
      target: { queue, partition, namespace, task },
      group,
      batch: Math.min(Math.max(batch, 1), this.#limits.maxBatchSize),
      partitions: Math.max(partitions, 1),
      autoAck,
      subscription,
      waitMs
    }, signal)
    return delivery === null ? [] : poppedMessages(delivery, group)
  }

  /** Acknowledge messages with one word for all of them: completed unless given. */
  async ack (messages: readonly AckInput[], status: AckStatus = 'completed', error = ''): Promise<AckResult[]> {
    return await this.#ready().ack(messages.map(message => acknowledgement(message, status, error)))
  }

  /** Acknowledge and push, whole or not at all. Throws RGT_REQUEST_INVALID when an acknowledgement is refused. */
  async transaction ({ push = [], ack = [] }: { push?: readonly MessageInput[], ack?: readonly AckInput[] }): Promise<PushedMessage[]> {
    const result = await this.#ready().transact({
      pushes: push.map(newMessage),
      acks: ack.map(message => acknowledgement(message, 'completed', '')),
      requiredLeases: [],
      producerSub: null
    })
    if (!result.success) {
      throw new RegentError('RGT_REQUEST_INVALID', { detail: result.error, field: `ack[${result.failedAck}]` })
    }
    return result.pushes.map(({ status, partitionId, position, transactionId }) =>
      ({ status, id: messageId(partitionId, position), partitionId: messageId(partitionId, 0), transactionId }))
  }

  /** Extend a lease to at least so many seconds from now; whether it was still held. */
  async extendLease (leaseId: string, seconds: number): Promise<boolean> {
    return (await this.#ready().extend(checkUuid(leaseId, 'leaseId'), seconds)).outcome === 'extended'
  }

  /** Create a queue or replace its configuration. Throws FieldError naming the option. */
  async configure (queue: string, options: Partial<QueueOptions> = {}, labels: { namespace?: string, task?: string } = {}): Promise<void> {
    checkName(queue, 'queue')
    const { namespace = '', task = '' } = labels
    await this.#ready().configure({ queue, namespace, task, options: readQueueOptions(options) })
  }

  /** Delete a queue with everything in it; whether there was one. */
  async deleteQueue (queue: string): Promise<boolean> {
    checkName(queue, 'queue')
    return await this.#ready().deleteQueue(queue)
  }

  #ready (): Engine {
    const engine = this.#engine()
    if (engine === null) throw new RegentError('RGT_REQUEST_INVALID', { detail: 'the queue can be used once the application is ready' })
    return engine
  }
}

function newMessage ({ queue, partition = 'Default', payload, transactionId, traceId }: MessageInput, index: number): NewMessage {
  checkName(queue, `[${index}].queue`)
  checkName(partition, `[${index}].partition`)
  if (transactionId !== undefined) checkName(transactionId, `[${index}].transactionId`)
  return {
    queue,
    partition,
    // undefined and functions have no JSON text; they are stored as null, as JSON does within arrays.
    payload: (JSON.stringify(payload) as string | undefined) ?? 'null',
    transactionId: transactionId ?? null,
    traceId: traceId === undefined ? null : checkUuid(traceId, `[${index}].traceId`)
  }
}

function acknowledgement ({ transactionId, partitionId, group, leaseId }: AckInput, status: AckStatus, error: string): Acknowledgement {
  return { transactionId, partitionId, group, leaseId, status, error }
}

function poppedMessages ({ queue, leaseId, runs }: Delivery, group: string): PoppedMessage[] {
  return runs.flatMap(run => messagesIn(run).map(({ position, line, deliveries, failures }) => {
    // The head of a line is ours and parses exactly; the payload behind it is the client's.
    const at = line.indexOf(DATA_KEY)
    const head = JSON.parse(line.slice(0, at) + '}') as Pick<PoppedMessage, 'transactionId' | 'traceId' | 'producerSub'>
    const dataText = line.slice(at + DATA_KEY.length, -1)
    return {
      ...head,
      id: messageId(run.partitionId, position),
      queue,
      partition: run.partition,
      partitionId: messageId(run.partitionId, 0),
      group,
      createdAt: run.createdAt,
      leaseId,
      deliveryCount: deliveries + 1,
      retryCount: failures,
      data: JSON.parse(dataText) as unknown,
      dataText
    }
  }))
}
