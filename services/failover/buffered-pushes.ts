import type { BufferState } from '../buffer/file-buffer.ts'

/** What a buffer holds, for status and metrics. */
export interface BufferFigures {
  state: BufferState
  messages: number
  /** Of the files that hold them. */
  bytes: number
  /** Age of the oldest record, in milliseconds; null when there is none. */
  oldestAgeMs: number | null
  /** Records, damaged stretches and files that were set aside. */
  quarantined: number
}

/** One push as it is written to the buffer: services/failover/record.ts. */
export interface BufferRecord {
  payload: Uint8Array
  queues: readonly string[]
  messages: number
}

/** Where pushes are kept until they are drained: files of this process, or of the one that keeps them for all of a server. */
export interface BufferedPushes {
  readonly maxPayloadBytes: number
  readonly figures: BufferFigures
  /** Nothing is in it: no queue has anything to wait for. */
  readonly isEmpty: boolean
  /** Whether messages of this queue are in it; new ones have to come after them. */
  holds: (queue: string) => boolean
  /**
   * Keep a push; resolves when it is durable.
   * @throws RegentError RGT_BUFFER_FULL, RGT_BUFFER_UNAVAILABLE, RGT_OVERLOADED, all to be repeated later
   */
  append: (record: BufferRecord) => Promise<void>
}
