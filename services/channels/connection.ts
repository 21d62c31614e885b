import type { Client } from './client.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import type { Frame } from './frame.ts'
import { FrameReader } from './frame-reader.ts'
import type { ChannelLimits } from './limits.ts'
import { Outbox } from './outbox.ts'
import type { Closing, Transport, TransportKind } from './transport.ts'

/** Who is told what a connection brings. */
export interface ConnectionOwner {
  /** @returns null: it was dealt with; else whom it would write to, who has too much to be sent already: nothing was done */
  take: (connection: Connection, frame: Frame) => Connection | null
  /** No frame comes from it any more. Told once or several times. */
  left: (connection: Connection, reason: string) => void
  closed: (connection: Connection) => void
}

export interface ConnectionOptions {
  transport: Transport
  kind: TransportKind
  deadlines: Deadlines
  limits: ChannelLimits
  owner: ConnectionOwner
}

/** One peer's two directions: frames in, one after the other, and what is to be sent to it. */
export class Connection {
  /** Who it is, from its first frame on. */
  client: Client | null = null
  readonly #options: ConnectionOptions
  readonly #outbox: Outbox
  readonly #reader = new FrameReader()
  #state: 'open' | 'finishing' | 'closed' = 'open'
  #hasEnded = false
  /** A frame that cannot be dealt with yet; until then nothing more is read. */
  #held: Frame | null = null
  /** For the first frame, for the rest of a frame, for the close: one at a time. */
  #deadline: Deadline | null
  #watchedFrame = 0

  constructor (options: ConnectionOptions) {
    const { transport, deadlines, limits } = options
    this.#options = options
    this.#outbox = new Outbox({ transport, deadlines, limits, stalled: () => { this.#giveUp('stalled') } })
    this.#deadline = deadlines.set(limits.frameMs, () => { this.#leave('no frame in time', 'late') })
  }

  get kind (): TransportKind {
    return this.#options.kind
  }

  /** Bytes to be sent. */
  get pendingBytes (): number {
    return this.#outbox.pendingBytes
  }

  /** There is so much to be sent that nothing more should be written. */
  get isFull (): boolean {
    return this.#outbox.isFull
  }

  /** Bytes have come in. Once the connection is being closed they are of no interest. */
  receive (chunk: Buffer): void {
    if (this.#state !== 'open') return
    this.#reader.push(chunk)
    if (this.#held === null) this.#read()
  }

  /** In its turn something has come that is no frame: the last that is read. */
  reject (fault: Frame): void {
    if (this.#state !== 'open') return
    this.#reader.break(fault)
    if (this.#held === null) this.#read()
  }

  /** A part of a frame has come, which the transport keeps until it is whole: that is to happen in time. */
  begun (): void {
    // The first frame has its deadline anyway; while we do not read, the peer is not to blame.
    if (this.#state !== 'open' || this.client === null || this.#held !== null) return
    this.#deadline ??= this.#frameDeadline()
  }

  /** The peer has ended its side; that is a disconnect. */
  ended (): void {
    this.#hasEnded = true
    // What it has sent before that comes first.
    if (this.#held === null) this.#leave('ended by the peer', 'over')
  }

  /** The transport is gone. */
  closed (): void {
    if (this.#state === 'closed') return
    const { owner, deadlines } = this.#options
    this.#state = 'closed'
    this.#held = null
    deadlines.clear(this.#deadline)
    owner.left(this, 'closed')
    this.#outbox.close()
    owner.closed(this)
  }

  write (bytes: readonly Buffer[]): void {
    this.#outbox.write(bytes)
  }

  /** An operation is over: the frame that is held may be one of it, and has nowhere to go now. */
  reconsider (): void {
    // Not within whatever has ended it.
    if (this.#held !== null) queueMicrotask(this.#proceed)
  }

  /** Send what there is to send, then close. */
  finish (closing: Closing): void {
    if (this.#state !== 'open') return
    const { transport, deadlines, limits } = this.#options
    this.#state = 'finishing'
    this.#held = null
    deadlines.clear(this.#deadline)
    this.#deadline = deadlines.set(limits.closeMs, () => { transport.destroy() })
    this.#outbox.finish(() => { transport.end(closing) })
    // Unread input would turn the close into a reset, and the peer might lose what was sent last.
    transport.resume()
  }

  #leave (reason: string, closing: Closing): void {
    if (this.#state !== 'open') return
    this.#options.owner.left(this, reason)
    this.finish(closing)
  }

  #giveUp (reason: string): void {
    const { owner, deadlines, transport } = this.#options
    if (this.#state === 'open') owner.left(this, reason)
    this.#state = 'finishing'
    this.#held = null
    deadlines.clear(this.#deadline)
    transport.destroy()
  }

  readonly #proceed = (): void => {
    if (this.#held !== null) this.#read()
  }

  #read (): void {
    const { owner, transport } = this.#options
    const wasHeld = this.#held !== null
    while (this.#state === 'open') {
      const frame = this.#held ?? this.#reader.next()
      if (frame === null) break
      const recipient = owner.take(this, frame)
      this.#held = recipient === null ? null : frame
      if (recipient !== null) {
        recipient.#outbox.onceDrained(this.#proceed)
        break
      }
    }
    if (this.#state !== 'open') return
    if (this.#held === null && this.#hasEnded) {
      this.ended()
      return
    }
    if (this.#held !== null && !wasHeld) transport.pause()
    if (this.#held === null && wasHeld) transport.resume()
    this.#watch()
  }

  /** A frame that has begun is to end; not while it is us who do not read it. */
  #watch (): void {
    if (this.client === null) return
    const { deadlines } = this.#options
    const isInside = this.#held === null && this.#reader.isInsideFrame
    if (isInside && this.#deadline !== null && this.#watchedFrame === this.#reader.begun) return
    deadlines.clear(this.#deadline)
    this.#watchedFrame = this.#reader.begun
    this.#deadline = isInside ? this.#frameDeadline() : null
  }

  #frameDeadline (): Deadline {
    const { deadlines, limits } = this.#options
    return deadlines.set(limits.frameMs, () => { this.#leave('no whole frame in time', 'late') })
  }
}
