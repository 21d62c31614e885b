import type { Readable } from 'node:stream'
import type { Frame } from '../channels/frame.ts'
import { LONGEST_MS } from '../channels/deadlines.ts'
import { encodeFrame } from '../channels/frame.ts'
import { ROLE, TYPE } from '../channels/wire.ts'
import { ChannelError, errorOfText } from './channel-error.ts'
import { ChunkWriter, encodeSenderAbort, newId } from './frames.ts'
import type { FrameIdentity } from './frames.ts'
import { IncomingBody } from './incoming-body.ts'
import { OutgoingBody } from './outgoing-body.ts'
import type { Body } from './outgoing-body.ts'
import type { Operation, Session } from './session.ts'

export interface OutgoingRequestOptions {
  body: Body
  timeoutMs: number
  signal: AbortSignal | undefined
  bufferBytes: number
  /** How much later than the server it gives up by itself, so that it is the server that ends it for both; 0 unless given. */
  graceMs?: number
  /** Why there is no connection, if there is none. */
  outage?: () => ChannelError | undefined
  /** It is over, and has nothing to do with any connection. */
  over: () => void
}

/** The sender's side of an exchange. */
export class OutgoingRequest implements Operation {
  readonly #options: OutgoingRequestOptions
  readonly #reply: IncomingBody
  readonly #body: OutgoingBody
  readonly #deadlineAt: number
  readonly #timer: NodeJS.Timeout
  #open: { session: Session, identity: FrameIdentity } | null = null
  #isAccepted = false
  #isSent = false
  #isOver = false

  constructor (options: OutgoingRequestOptions) {
    const { body, timeoutMs, signal, bufferBytes, graceMs = 0 } = options
    this.#options = options
    this.#reply = new IncomingBody({
      bufferBytes,
      read: () => { this.#open?.session.proceed() },
      unwanted: () => { if (!this.#isAnswered) this.fail(new ChannelError('CHANNEL_ABORTED')) }
    })
    this.#body = new OutgoingBody(body, error => { if (!this.#isSent) this.fail(error) })
    this.#deadlineAt = performance.now() + timeoutMs
    this.#timer = setTimeout(() => { this.fail(new ChannelError('CHANNEL_TIMEOUT', { cause: options.outage?.() })) }, Math.min(timeoutMs + graceMs, LONGEST_MS))
    if (signal?.aborted === true) queueMicrotask(this.#aborted)
    else signal?.addEventListener('abort', this.#aborted, { once: true })
  }

  get reply (): Readable {
    return this.#reply
  }

  /** A receiver has it, or has had it: it may have acted on it. */
  get isAccepted (): boolean {
    return this.#isAccepted
  }

  get isFull (): boolean {
    return this.#reply.isFull
  }

  /** There is a connection. */
  begin (session: Session): void {
    const { timeoutMs } = this.#options
    const leftMs = Math.ceil(this.#deadlineAt - performance.now())
    const identity = { flags: ROLE.request, requestId: newId(), clientId: session.clientId, channelId: session.channelId, timeoutMs: Math.max(1, Math.min(leftMs, timeoutMs)) }
    this.#open = { session, identity }
    session.requests.set(identity.requestId, this)
    session.write([encodeFrame({ type: TYPE.start, ...identity })])
  }

  take (frame: Frame): void {
    if (frame.type === TYPE.start && !this.#isAccepted) {
      this.#isAccepted = true
      void this.#send()
    } else if (frame.type === TYPE.chunk && this.#isAccepted && this.#reply.takeChunk(frame)) {
      this.#finish()
    } else if (frame.type === TYPE.end && this.#reply.isComplete && this.#isSent) {
      this.#end()
    } else {
      this.fail(new ChannelError('CHANNEL_INVALID_FRAME', { detail: `type ${frame.type} in a reply` }))
    }
  }

  refused (text: string): void {
    this.lost(errorOfText(text, 'sender'))
  }

  fail (error: ChannelError): void {
    if (this.#isOver) return
    // A reply that is complete has been answered with an end; what the server does then it does by itself.
    if (this.#open !== null && !this.#isAnswered) this.#open.session.write([encodeSenderAbort(this.#open.identity)])
    this.lost(error)
  }

  lost (error: ChannelError): void {
    if (this.#isOver) return
    const isAnswered = this.#isAnswered
    this.#end()
    if (isAnswered) return
    this.#body.release()
    this.#reply.destroy(error)
  }

  /** Everything was sent and everything has come; the rest is courtesy. */
  get #isAnswered (): boolean {
    return this.#isSent && this.#reply.isComplete
  }

  readonly #aborted = (): void => {
    this.fail(new ChannelError('CHANNEL_ABORTED', { cause: this.#options.signal?.reason }))
  }

  async #send (): Promise<void> {
    if (this.#open === null) return
    const { session, identity } = this.#open
    const chunks = new ChunkWriter(identity)
    try {
      for (;;) {
        await session.room()
        if (this.#isOver) return
        const piece = await this.#body.next()
        if (this.#isOver) return
        session.write(piece === null ? chunks.final() : chunks.data(piece))
        if (piece === null) break
      }
      this.#isSent = true
      this.#finish()
    } catch (error) {
      this.fail(error as ChannelError) // what a body throws
    }
  }

  #finish (): void {
    if (this.#open === null || !this.#isAnswered) return
    const { session, identity } = this.#open
    session.write([encodeFrame({ type: TYPE.end, ...identity })])
    this.#options.signal?.removeEventListener('abort', this.#aborted)
    this.#reply.complete()
  }

  #end (): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#options.signal?.removeEventListener('abort', this.#aborted)
    if (this.#open !== null) {
      const { session, identity } = this.#open
      session.requests.delete(identity.requestId)
      queueMicrotask(session.proceed)
    }
    this.#options.over()
  }
}
