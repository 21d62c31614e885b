import type { TraceContext } from '../trace-context/trace-context.ts'

/** What a consumer is identified by when it names no group: all such consumers share one cursor per partition. */
export const QUEUE_MODE = '__QUEUE_MODE__'

/** One message to push. The payload is JSON text on a single line, as it will be delivered. */
export interface NewMessage {
  queue: string
  partition: string
  payload: string
  /** Null: one is made, and repeated attempts of the client cannot be recognised. */
  transactionId: string | null
  traceId: string | null
  /** The trace that this one is part of, whatever those around it are part of. */
  context?: TraceContext | undefined
}

/** Of whom messages come, and within which trace. */
export interface Origin {
  /** Verified identity of the producer, or null. */
  producerSub: string | null
  /** For messages that have no context of their own. */
  context: TraceContext | null
}

export interface StoredMessage {
  status: 'queued' | 'duplicate'
  queue: string
  transactionId: string
  traceId: string | null
  /** Partition number and position of the message, or of the first one with this transaction id. */
  partitionId: number
  position: number
}

/** A message that is safe in the file buffer and will be stored later; it has no position yet. */
export interface BufferedMessage {
  status: 'buffered'
  queue: string
  partition: string
  transactionId: string
}

export type PushResult = StoredMessage | BufferedMessage

/** Messages of one partition became available: to a group, or (null) to every group. Null partition: several. */
export interface Available {
  queue: string
  namespace: string
  task: string
  partition: string | null
  group: string | null
}

export type AckStatus = 'completed' | 'failed' | 'retry' | 'dlq'

/** What a consumer says about one delivered message. */
export interface Acknowledgement {
  transactionId: string
  /** As on the wire; anything that is not one of our partition ids is a message not found. */
  partitionId: string
  group: string
  /** Null when the client's word for it is none we know. */
  status: AckStatus | null
  leaseId: string | null
  error: string
}

export interface AckResult {
  transactionId: string
  success: boolean
  error: string | null
  queue: string | null
  partition: string | null
  /** Null when the group has nothing to do with the partition. */
  leaseReleased: boolean | null
  dlq: boolean
}

/** Receives what the engine has to say while it runs; pino and console both fit. */
export interface Log {
  debug (fields: object, message: string): void
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}
