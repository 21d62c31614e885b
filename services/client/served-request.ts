import type { Readable } from 'node:stream'
import { LONGEST_MS } from '../channels/deadlines.ts'
import { encodeFrame } from '../channels/frame.ts'
import type { Frame } from '../channels/frame.ts'
import { ROLE, TYPE } from '../channels/wire.ts'
import { ChannelError, errorOfText } from './channel-error.ts'
import { ChunkWriter, encodeReceiverAbort } from './frames.ts'
import type { FrameIdentity } from './frames.ts'
import { IncomingBody } from './incoming-body.ts'
import { OutgoingBody } from './outgoing-body.ts'
import type { Body } from './outgoing-body.ts'
import type { Operation, Session } from './session.ts'

export interface IncomingRequest {
  /** The message. Need not be read. */
  request: Readable
  /** What the sender gives the whole exchange, in milliseconds; undefined: the server's default. */
  timeoutMs: number | undefined
  /** Aborted, with a ChannelError, when nobody waits for the reply any more. */
  signal: AbortSignal
}

/**
 * Answers a request. Called when its first data, or its end, has come: by then it is certain that nobody else is given it.
 * The reply may be made of the request as it is read. Nothing: an empty reply.
 */
export type Handler = (incoming: IncomingRequest) => Body | void | Promise<Body | void>

export interface ServedRequestOptions {
  session: Session
  start: Frame
  bufferBytes: number
  /** The sender has heard of the acceptance, and its data comes: nobody else will be given the request. */
  begun?: () => void
  /** What the handler, or the reply that it has returned, has thrown, if the exchange was not over by then. */
  failed: (error: unknown) => void
  /** The handler has come to its end, and its reply was sent or is not wanted any more. */
  done: () => void
  /** The exchange is over. @param error why, if it did not come to its end */
  over: (error?: ChannelError) => void
}

// A timer counts from the beginning of its turn of the event loop, so it may be earlier than a server's that was set before.
const GRACE_MS = 500

/** The receiver's side of an exchange. */
export class ServedRequest implements Operation {
  readonly #options: ServedRequestOptions
  readonly #identity: FrameIdentity
  readonly #request: IncomingBody
  readonly #controller = new AbortController()
  #reply: OutgoingBody | null = null
  #timer: NodeJS.Timeout | undefined
  #isReplied = false
  #hasSenderEnded = false
  #isAccepted = false
  #hasBegun = false
  #isRunning = false
  #isOver = false
  #isDone = false

  constructor (options: ServedRequestOptions) {
    const { session, start, bufferBytes } = options
    const { requestId, clientId, timeoutMs } = start
    this.#options = options
    this.#identity = { flags: ROLE.response, requestId, clientId, channelId: session.channelId, timeoutMs: Math.min(timeoutMs, Number.MAX_SAFE_INTEGER) }
    this.#request = new IncomingBody({ bufferBytes, read: session.proceed, unwanted: session.proceed })
  }

  get isFull (): boolean {
    return this.#request.isFull
  }

  /** Once the server knows, it is this receiver's and nobody else's; should the connection break before that, another gets it. */
  accept (): void {
    const { session } = this.#options
    const { timeoutMs } = this.#identity
    this.#isAccepted = true
    session.served.set(this.#key, this)
    session.write([encodeFrame({ type: TYPE.start, ...this.#identity })])
    // The server sees to it, and tells both sides that it was the time. It cannot say so while what it sends is not read.
    if (timeoutMs > 0) this.#timer = setTimeout(() => { this.fail(new ChannelError('CHANNEL_TIMEOUT')) }, Math.min(timeoutMs + GRACE_MS, LONGEST_MS))
  }

  /** Has it answered; accepts it first if it was not. Never rejects. */
  async run (handler: Handler): Promise<void> {
    if (!this.#isAccepted) this.accept()
    const { timeoutMs } = this.#identity
    this.#isRunning = true
    try {
      const reply = await handler({ request: this.#request, timeoutMs: timeoutMs > 0 ? timeoutMs : undefined, signal: this.#controller.signal })
      this.#reply = new OutgoingBody(reply ?? '', error => { this.#broken(error) })
      if (this.#isOver) this.#reply.release()
      else await this.#send(this.#reply)
    } catch (error) {
      this.#broken(error)
    }
    this.#done()
  }

  take (frame: Frame): void {
    if (frame.type === TYPE.chunk && this.#request.takeChunk(frame)) {
      if (!this.#hasBegun) this.#options.begun?.()
      this.#hasBegun = true
      if (this.#request.isComplete) this.#request.complete()
    } else if (frame.type === TYPE.end && this.#request.isComplete && !this.#hasSenderEnded) {
      this.#hasSenderEnded = true
      this.#finish()
    } else {
      this.fail(new ChannelError('CHANNEL_INVALID_FRAME', { detail: `type ${frame.type} in a request` }))
    }
  }

  refused (text: string): void {
    this.lost(errorOfText(text, 'receiver'))
  }

  fail (error: ChannelError): void {
    // After the whole reply there is nothing to break off.
    if (!this.#isOver && !this.#isReplied) this.#options.session.write([encodeReceiverAbort(this.#identity)])
    this.lost(error)
  }

  lost (error: ChannelError): void {
    if (this.#isOver) return
    this.#end(error)
    this.#request.destroy(error)
    this.#controller.abort(error)
    // What the reply would yield next may never come.
    if (!this.#isRunning || this.#reply !== null) this.#done()
    this.#reply?.release()
  }

  /** By the sender's id too: two may have chosen the same request id. */
  get #key (): string {
    return this.#identity.clientId + this.#identity.requestId
  }

  async #send (reply: OutgoingBody): Promise<void> {
    const { session } = this.#options
    const chunks = new ChunkWriter(this.#identity)
    for (;;) {
      await session.room()
      if (this.#isOver) return
      const piece = await reply.next()
      if (this.#isOver) return
      session.write(piece === null ? chunks.final() : chunks.data(piece))
      if (piece === null) break
    }
    this.#isReplied = true
    // The rest of it has to come, but nobody waits for it.
    this.#request.destroy()
    this.#finish()
  }

  #finish (): void {
    if (!this.#isReplied || !this.#hasSenderEnded) return
    this.#options.session.write([encodeFrame({ type: TYPE.end, ...this.#identity })])
    this.#end()
  }

  #broken (error: unknown): void {
    if (this.#isOver || this.#isReplied) return
    this.#options.failed(error)
    this.fail(new ChannelError('CHANNEL_RECEIVER_FAILED', { cause: error }))
  }

  #end (error?: ChannelError): void {
    const { session } = this.#options
    this.#isOver = true
    clearTimeout(this.#timer)
    session.served.delete(this.#key)
    queueMicrotask(session.proceed)
    this.#options.over(error)
  }

  #done (): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#options.done()
  }
}
