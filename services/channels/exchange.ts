import type { Client } from './client.ts'
import type { Deadline } from './deadlines.ts'
import type { Queued } from './fifo.ts'
import type { Frame } from './frame.ts'
import type { Id } from './wire.ts'

/** The chunks of one direction: 0, 1, 2 … and exactly one that is final, the last. */
export class Chunks {
  #next = 0
  isFinal = false

  get hasBegun (): boolean {
    return this.#next > 0
  }

  /** @returns false: this is not the chunk that comes next */
  take (frame: Frame): boolean {
    if (this.isFinal || frame.index !== this.#next) return false
    this.#next++
    this.isFinal = frame.isFinal
    return true
  }
}

/** One request and its reply. */
export class Exchange implements Queued<Exchange> {
  previous: Exchange | null = null
  next: Exchange | null = null
  isQueued = false
  readonly sender: Client
  readonly requestId: Id
  /** The frame that opened it, kept to be handed on. */
  readonly start: Buffer
  readonly timeoutMs: number
  /** By the clock of the deadlines. */
  readonly openedAt: number
  deadline: Deadline | null = null
  /** Null: waiting for one; or, once the reply is complete, it has left and the server stands in for its end. */
  receiver: Client | null = null
  isAccepted = false
  readonly request = new Chunks()
  readonly reply = new Chunks()
  /** The sender's end was handed on: its receiver will finish by itself. */
  isSenderDone = false

  constructor (sender: Client, frame: Frame, openedAt: number) {
    this.sender = sender
    this.requestId = frame.requestId
    // A slice would keep all that was read with it.
    this.start = Buffer.allocUnsafeSlow(frame.header.length)
    frame.header.copy(this.start)
    this.timeoutMs = frame.timeoutMs
    this.openedAt = openedAt
  }
}
