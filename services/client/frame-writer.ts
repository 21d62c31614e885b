import type { Transport } from '../channels/transport.ts'

// Handed over in one go.
const BATCH_BYTES = 64 * 1024
// From here on whoever has more data waits.
const FULL_BYTES = 256 * 1024

/** What is to be sent on one connection: what is written within a tick goes out together. */
export class FrameWriter {
  readonly #transport: Transport
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #isSending = false
  #isScheduled = false
  #isClosed = false
  #finished: (() => void) | null = null
  #blocked: Array<() => void> = []

  constructor (transport: Transport) {
    this.#transport = transport
  }

  write (pieces: readonly Buffer[]): void {
    if (this.#isClosed) return
    for (const piece of pieces) {
      this.#waiting.push(piece)
      this.#waitingBytes += piece.length
    }
    this.#schedule()
  }

  /** Resolves when more data may be written: at once, or when enough was sent, or when nothing will be any more. */
  async room (): Promise<void> {
    if (this.#isClosed || this.#waitingBytes < FULL_BYTES) return
    // All of them go on together, with one frame each: in turns.
    await new Promise<void>(resolve => { this.#blocked.push(resolve) })
  }

  /** Calls back when everything was sent. Nothing can be written from now on. */
  finish (finished: () => void): void {
    this.#finished = finished
    this.#isClosed = true
    this.#schedule()
    this.#release()
  }

  close (): void {
    this.#isClosed = true
    this.#finished = null
    this.#waiting = []
    this.#waitingBytes = 0
    this.#release()
  }

  #schedule (): void {
    if (this.#isScheduled || this.#isSending) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush (): void {
    while (!this.#isSending && this.#waiting.length > 0) {
      const batch = this.#nextBatch()
      this.#isSending = !this.#transport.send(batch, () => {
        this.#isSending = false
        this.#flush()
      })
    }
    if (this.#waitingBytes < FULL_BYTES / 2) this.#release()
    if (this.#isSending) return
    this.#finished?.()
    this.#finished = null
  }

  #nextBatch (): Buffer[] {
    let count = 0
    let bytes = 0
    do {
      bytes += this.#waiting[count++]?.length ?? 0
    } while (bytes + (this.#waiting[count]?.length ?? Number.POSITIVE_INFINITY) <= BATCH_BYTES)
    this.#waitingBytes -= bytes
    return this.#waiting.splice(0, count)
  }

  #release (): void {
    const blocked = this.#blocked
    this.#blocked = []
    for (const proceed of blocked) proceed()
  }
}
