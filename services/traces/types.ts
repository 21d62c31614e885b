/** What a consumer records about a message. */
export interface NewTrace {
  /** On the wire; what is no partition id of ours is a message not found. */
  partitionId: string
  transactionId: string
  group: string
  eventType: string
  workerId: string
  /** The client's own JSON text. */
  data: string
  names: readonly string[]
}

export interface Trace {
  id: string
  eventType: string
  data: string
  group: string
  workerId: string
  /** UTC with milliseconds. */
  createdAt: string
  names: readonly string[]
}

/** A trace with the message it is about. */
export interface NamedTrace extends Trace {
  transactionId: string
  partitionId: number
  queue: string
  partition: string
  /** The client's own JSON text; null when the message is gone or cannot be decrypted here. */
  payload: string | null
}

export interface TraceName {
  name: string
  traces: number
  messages: number
  /** UTC with milliseconds. */
  lastSeen: string
}

export interface Page { limit: number, offset: number }
