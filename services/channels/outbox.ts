import type { Deadline, Deadlines } from './deadlines.ts'
import type { ChannelLimits } from './limits.ts'
import type { Transport } from './transport.ts'

// Handed over in one go: progress of a slow client is seen in steps of this size.
const BATCH_BYTES = 64 * 1024
// Of the head of the queue, before what was sent is cut off.
const SENT_PIECES = 1024
// A piece that waits may keep this many times its size in memory; else it is copied.
const KEPT_TIMES = 4

export interface OutboxOptions {
  transport: Transport
  deadlines: Deadlines
  limits: ChannelLimits
  /** The client has accepted nothing for too long. */
  stalled: () => void
}

/** What is to be sent to one client, in order: one batch under way, the rest waiting. */
export class Outbox {
  readonly #options: OutboxOptions
  #waiting: Buffer[] = []
  #head = 0
  #waitingBytes = 0
  #sendingBytes = 0
  #stall: Deadline | null = null
  #isScheduled = false
  #isClosed = false
  #onEmpty: (() => void) | null = null
  /** Those with something for this client that waits until there is room. */
  readonly #blocked = new Set<() => void>()

  constructor (options: OutboxOptions) {
    this.#options = options
  }

  get pendingBytes (): number {
    return this.#waitingBytes + this.#sendingBytes
  }

  get isFull (): boolean {
    return this.pendingBytes > this.#options.limits.maxPendingBytes
  }

  write (pieces: readonly Buffer[]): void {
    if (this.#isClosed) return
    const hasBacklog = this.#sendingBytes > 0
    for (const piece of pieces) {
      const kept = hasBacklog ? compact(piece) : piece
      for (let at = 0; at < kept.length; at += BATCH_BYTES) this.#waiting.push(kept.subarray(at, at + BATCH_BYTES))
      this.#waitingBytes += piece.length
    }
    // After the frames that came with this one: they go out together.
    if (!hasBacklog) this.#schedule()
  }

  /** Calls back when enough was sent that more may be written, or when nothing ever will be. The same one waits once. */
  onceDrained (proceed: () => void): void {
    this.#blocked.add(proceed)
  }

  /** Calls back when everything was sent; nothing can be written from now on. */
  finish (finished: () => void): void {
    this.#onEmpty = finished
    this.#isClosed = true
    this.#schedule()
    this.#release()
  }

  close (): void {
    this.#isClosed = true
    this.#onEmpty = null
    this.#waiting = []
    this.#head = 0
    this.#waitingBytes = this.#sendingBytes = 0
    this.#options.deadlines.clear(this.#stall)
    this.#release()
  }

  #schedule (): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush (): void {
    while (this.#sendingBytes === 0 && this.#waitingBytes > 0) {
      const batch = this.#nextBatch()
      const isTaken = this.#options.transport.send(batch, () => { this.#taken() })
      if (!isTaken) this.#stall = this.#options.deadlines.set(this.#options.limits.stallMs, this.#options.stalled)
      else this.#sendingBytes = 0
    }
    if (this.pendingBytes === 0) {
      this.#onEmpty?.()
      this.#onEmpty = null
    }
    this.#wake()
  }

  #nextBatch (): Buffer[] {
    const from = this.#head
    do {
      this.#sendingBytes += this.#waiting[this.#head++]?.length ?? 0
    } while (this.#sendingBytes + (this.#waiting[this.#head]?.length ?? Number.POSITIVE_INFINITY) <= BATCH_BYTES)
    const batch = this.#waiting.slice(from, this.#head)
    this.#waitingBytes -= this.#sendingBytes
    if (this.#head === this.#waiting.length || this.#head >= SENT_PIECES) {
      this.#waiting = this.#waiting.slice(this.#head)
      this.#head = 0
    }
    return batch
  }

  #taken (): void {
    this.#options.deadlines.clear(this.#stall)
    this.#sendingBytes = 0
    this.#flush()
  }

  /** One after the other, as far as there is room: together they would overfill it. */
  #wake (): void {
    if (this.pendingBytes > this.#options.limits.maxPendingBytes / 2) return
    for (const proceed of this.#blocked) {
      if (this.isFull) return
      this.#blocked.delete(proceed)
      proceed()
    }
  }

  #release (): void {
    // Not within whatever closes this.
    for (const proceed of this.#blocked) queueMicrotask(proceed)
    this.#blocked.clear()
  }
}

/** A small piece of a large buffer would keep all of it for as long as it waits. */
function compact (piece: Buffer): Buffer {
  if (piece.length * KEPT_TIMES >= piece.buffer.byteLength) return piece
  const copy = Buffer.allocUnsafeSlow(piece.length)
  piece.copy(copy)
  return copy
}
