import { EmbeddedDeadLetters } from './embedded-dead-letters.ts'
import { EmbeddedGroups } from './embedded-groups.ts'
import type { Administered } from './embedded-groups.ts'
import { RegentError } from './errors.ts'
import { fieldError } from './json/field-error.ts'
import { openLine } from './encryption/sealed-line.ts'
import type { KeyRing } from './encryption/key-ring.ts'
import { checkName, checkUuid } from './json/names.ts'
import { messageId } from './log/ids.ts'
import type { Delivery, PopRequest, Subscription } from './poll/types.ts'
import type { Engine } from './queue/engine.ts'
import { messagesIn } from './queue/messages-in.ts'
import { readGivenOptions, readQueueOptions } from './queue/queue-options.ts'
import type { QueueOptions } from './queue/queue-options.ts'
import { QUEUE_MODE } from './queue/types.ts'
import type { Acknowledgement, AckResult, AckStatus, NewMessage, StoredMessage } from './queue/types.ts'
import { activeTraceContext } from './telemetry/active.ts'
import { contextOfFields } from './trace-context/trace-context.ts'

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
  /** The trace that it is part of, as W3C Trace Context says it; that of the active OpenTelemetry span unless given. */
  traceparent?: string
  tracestate?: string
}

export interface PushedMessage {
  /** `duplicate`: stored before; the id is the first one's. */
  status: 'queued' | 'duplicate'
  id: string
  partitionId: string
  transactionId: string
}

/** A message that is durable in the file buffer while the database is away; it gets its id when it is stored. */
export interface BufferedPush {
  status: 'buffered'
  id: null
  partitionId: null
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
  /** Of a message that is part of a trace: its W3C trace context. */
  traceparent?: string
  tracestate?: string
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

export interface EngineSource {
  /** Null until the plugin has been loaded. */
  loaded: () => Administered | null
  /** Whether the host has begun to close. */
  isClosing: () => boolean
  maxBatchSize: number
}

const DATA_KEY = ',"data":'
const MAX_INT = 2_147_483_647
const MOST_PARTITIONS = 10_000
const MAX_ERROR_CHARACTERS = 10_000
const LONGEST_LEASE_SECONDS = 366 * 86_400

/** The queue as embedding code uses it: the engine with checks and parsed payloads. */
export class EmbeddedQueue {
  /** Lag, seek and deletion of consumer groups. */
  readonly groups: EmbeddedGroups
  /** Looking at dead letters, putting them back, purging them. */
  readonly deadLetters: EmbeddedDeadLetters
  readonly #source: EngineSource

  constructor (source: EngineSource) {
    this.#source = source
    this.groups = new EmbeddedGroups(() => this.#loaded())
    this.deadLetters = new EmbeddedDeadLetters(() => this.#loaded())
  }

  /**
   * Store messages; resolves once they are committed, or durable in the file buffer, in order. Throws FieldError and
   * RegentError.
   */
  async push (messages: readonly MessageInput[]): Promise<(PushedMessage | BufferedPush)[]> {
    const results = await this.#ready().push(messages.map(newMessage), { producerSub: null, context: activeTraceContext() })
    return results.map(result => result.status === 'buffered'
      ? { status: 'buffered', id: null, partitionId: null, transactionId: result.transactionId }
      : pushedMessage(result))
  }

  /**
   * Take messages; an empty array when there are none in time. Throws FieldError for names and numbers that cannot be,
   * RGT_MESSAGE_UNREADABLE when there are only such as cannot be decrypted (none is taken then), RGT_OVERLOADED when it would wait
   * and `maxParkedPops` do already, and RGT_SHUTTING_DOWN once the application closes: a consumer's loop is to end then.
   */
  async pop (input: PopInput): Promise<PoppedMessage[]> {
    const { signal } = input
    const request = popRequest(input, this.#source.maxBatchSize)
    const engine = this.#ready()
    if (this.#source.isClosing()) throw new RegentError('RGT_SHUTTING_DOWN')
    const delivery = await engine.pop(request, signal)
    if (delivery === null) return []
    if (signal?.aborted === true) {
      // It came in the same moment; whoever aborted does not look at the result any more.
      await engine.giveBack(request.group, delivery)
      return []
    }
    try {
      return poppedMessages(engine.keys, delivery, request.group)
    } catch (error) {
      const rest = await engine.giveBackUnreadable(request.group, delivery)
      if (rest === null) throw error
      return poppedMessages(engine.keys, rest, request.group)
    }
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
      producerSub: null,
      context: activeTraceContext()
    })
    if (!result.success) {
      throw new RegentError('RGT_REQUEST_INVALID', { detail: result.error, field: `ack[${result.failedAck}]` })
    }
    return result.pushes.map(pushedMessage)
  }

  /** Extend a lease to at least so many seconds from now; whether it was still held. */
  async extendLease (leaseId: string, seconds: number): Promise<boolean> {
    checkWhole(seconds, 'seconds', 0, LONGEST_LEASE_SECONDS)
    return (await this.#ready().extend(checkUuid(leaseId, 'leaseId'), seconds)).outcome === 'extended'
  }

  /**
   * Create a queue or replace its configuration; with `merge` what is not given stays as it is.
   * Throws FieldError naming the option.
   */
  async configure (queue: string, options: Partial<QueueOptions> = {}, { namespace, task, merge = false }: { namespace?: string, task?: string, merge?: boolean } = {}): Promise<QueueOptions> {
    checkName(queue, 'queue')
    const configured = await this.#ready().configure({
      queue,
      namespace: namespace ?? null,
      task: task ?? null,
      options: merge ? readGivenOptions(options) : readQueueOptions(options),
      merge
    })
    return configured.options
  }

  /** Delete a queue with everything in it; whether there was one. */
  async deleteQueue (queue: string): Promise<boolean> {
    checkName(queue, 'queue')
    return await this.#ready().deleteQueue(queue)
  }

  #ready (): Engine {
    return this.#loaded().engine
  }

  #loaded (): Administered {
    const loaded = this.#source.loaded()
    if (loaded === null) throw new RegentError('RGT_REQUEST_INVALID', { detail: 'the queue can be used once the application is ready' })
    return loaded
  }
}

/** What the SQL of a look cannot take would fail everybody whose look is made in the same call: it is refused here. */
function popRequest (input: PopInput, maxBatchSize: number): PopRequest {
  const { queue = null, partition = null, namespace = null, task = null, group = QUEUE_MODE } = input
  for (const [field, value] of Object.entries({ queue, partition, namespace, task, group })) {
    if (value !== null) checkName(value, field)
  }
  if (queue === null && namespace === null && task === null) throw fieldError('queue', 'required', 'is required, or namespace or task instead')
  if (queue === null && partition !== null) throw fieldError('partition', 'unsupported', 'needs a queue')
  const { batch = 1, partitions = 1, autoAck = false, subscription = { mode: 'all' }, waitMs = 0 } = input
  checkWhole(batch, 'batch', 1, MAX_INT)
  checkWhole(partitions, 'partitions', 1, MAX_INT)
  checkWhole(waitMs, 'waitMs', 0, MAX_INT)
  return {
    target: { queue, partition, namespace: queue === null ? namespace : null, task: queue === null ? task : null },
    group,
    batch: Math.min(batch, maxBatchSize),
    partitions: Math.min(partitions, MOST_PARTITIONS),
    autoAck,
    subscription: subscription.mode === 'timestamp' ? { mode: 'timestamp', from: instant(subscription.from) } : subscription,
    waitMs
  }
}

/** The time in the one form that PostgreSQL certainly reads. */
function instant (from: string): string {
  const time = new Date(from)
  if (Number.isNaN(time.getTime())) throw fieldError('subscription.from', 'type', 'must be an ISO 8601 time')
  return time.toISOString()
}

function checkWhole (value: number, field: string, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) throw fieldError(field, 'range', `must be a whole number between ${min} and ${max}`)
}

function newMessage ({ queue, partition = 'Default', payload, transactionId, traceId, traceparent, tracestate }: MessageInput, index: number): NewMessage {
  checkName(queue, `[${index}].queue`)
  checkName(partition, `[${index}].partition`)
  if (transactionId !== undefined) checkName(transactionId, `[${index}].transactionId`)
  return {
    queue,
    partition,
    // undefined and functions have no JSON text; they are stored as null, as JSON does within arrays.
    payload: (JSON.stringify(payload) as string | undefined) ?? 'null',
    transactionId: transactionId ?? null,
    traceId: traceId === undefined ? null : checkUuid(traceId, `[${index}].traceId`),
    context: contextOfFields(traceparent, tracestate, field => `[${index}].${field}`)
  }
}

function acknowledgement ({ transactionId, partitionId, group, leaseId }: AckInput, status: AckStatus, error: string): Acknowledgement {
  return {
    transactionId,
    partitionId,
    group,
    leaseId: leaseId === null ? null : checkUuid(leaseId, 'leaseId'),
    status,
    // Often the text of an exception, which may hold anything; PostgreSQL stores no NUL.
    error: error.slice(0, MAX_ERROR_CHARACTERS).replaceAll('\0', '\ufffd')
  }
}

function pushedMessage ({ status, partitionId, position, transactionId }: StoredMessage): PushedMessage {
  return { status, id: messageId(partitionId, position), partitionId: messageId(partitionId, 0), transactionId }
}

function poppedMessages (keys: KeyRing, { queue, leaseId, runs }: Delivery, group: string): PoppedMessage[] {
  return runs.flatMap(run => messagesIn(run).map(({ position, line: stored, deliveries, failures }) => {
    const id = messageId(run.partitionId, position)
    const line = openLine(keys, { queue, partition: run.partition, id }, stored)
    // The head of a line is ours and parses exactly; the payload behind it is the client's.
    const at = line.indexOf(DATA_KEY)
    const head = JSON.parse(line.slice(0, at) + '}') as Pick<PoppedMessage, 'transactionId' | 'traceId' | 'producerSub' | 'traceparent' | 'tracestate'>
    const dataText = line.slice(at + DATA_KEY.length, -1)
    return {
      ...head,
      id,
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
