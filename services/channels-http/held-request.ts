import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Frame } from '../channels/frame.ts'
import type { Id } from '../channels/wire.ts'
import { ChannelError } from '../client/channel-error.ts'
import { ServedRequest } from '../client/served-request.ts'
import { RegentError } from '../errors.ts'
import type { TraceContext } from '../trace-context/trace-context.ts'
import type { HttpSession } from './http-session.ts'
import { replyError } from './http-errors.ts'

/**
 * The broker sees to a request's time; what it has said by so much later it does not say. It says nothing to a receiver that
 * the sender has told its end.
 */
export const GRACE_MS = 1000

export interface HeldRequestOptions {
  http: HttpSession
  start: Frame
  bufferBytes: number
  context: TraceContext | null
  /** What is left of the request's time; null: it is over. */
  remainingMs: () => number | null
  /** Where those are that have been accepted and are not over. */
  registry: Map<string, HeldRequest>
}

/** A request that a receiver was given over HTTP: what it reads is one answer, what it replies another request. */
export class HeldRequest {
  /** Not to be guessed: whoever knows it may reply. */
  readonly id: string = randomUUID()
  readonly channelId: Id
  /** The trace that it is part of, as far as is known. */
  readonly context: TraceContext | null
  readonly #options: HeldRequestOptions
  readonly #served: ServedRequest
  #timer: NodeJS.Timeout | undefined
  #give: ((reply: AsyncIterable<Uint8Array>) => void) | null = null
  /** The message was read to its end, or never will be. */
  #read: Promise<void> = Promise.resolve()
  #signal: AbortSignal | null = null
  #ended: () => void = () => {}
  readonly #end: Promise<void>

  constructor (options: HeldRequestOptions) {
    const { http, start, bufferBytes, context, registry } = options
    this.#options = options
    this.channelId = start.channelId
    this.context = context
    this.#end = new Promise(resolve => { this.#ended = resolve })
    this.#served = new ServedRequest({
      session: http.session,
      start,
      bufferBytes,
      // Whatever has failed, it is over then.
      failed: () => {},
      done: () => {},
      over: () => {
        clearTimeout(this.#timer)
        registry.delete(this.id)
        this.#ended()
        http.finish()
      }
    })
  }

  /** What is left of the request's time, in milliseconds. */
  get remainingMs (): number {
    return Math.max(0, Math.round(this.#options.remainingMs() ?? 0))
  }

  /**
   * From now on the request is this receiver's, and is given to nobody else.
   * @returns the message
   * @throws RegentError RGT_CHANNEL_REQUEST_OVER: it ended before that
   */
  async accept (): Promise<Readable> {
    const { http, registry } = this.#options
    const remainingMs = http.isDestroyed ? null : this.#options.remainingMs()
    if (remainingMs === null) {
      this.abandon()
      throw new RegentError('RGT_CHANNEL_REQUEST_OVER')
    }
    registry.set(this.id, this)
    this.#timer = setTimeout(() => { this.#served.fail(new ChannelError('CHANNEL_TIMEOUT')) }, remainingMs + GRACE_MS)
    return await new Promise(resolve => {
      void this.#served.run(async ({ request, signal }) => {
        this.#signal = signal
        this.#read = finished(request).catch(() => {})
        resolve(request)
        return await new Promise((resolve, reject) => {
          this.#give = resolve
          signal.addEventListener('abort', () => { reject(new ChannelError('CHANNEL_ABORTED')) }, { once: true })
        })
      })
    })
  }

  /**
   * Send the reply. Resolves when the sender has taken all of it.
   * @throws RegentError RGT_CHANNEL_REPLY_UNDER_WAY; or why it could not be sent to its end
   */
  async reply (body: AsyncIterable<Uint8Array>): Promise<void> {
    const give = this.#give
    if (give === null) throw new RegentError('RGT_CHANNEL_REPLY_UNDER_WAY')
    this.#give = null
    give(this.#afterReading(body))
    await this.#end
    if (this.#signal?.aborted === true) throw replyError(this.#signal.reason as ChannelError) // as it promises
  }

  /** A receiver is rid of what it has not read when its reply is complete: it may not be rid of what it is still reading. */
  async * #afterReading (reply: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    yield * reply
    await this.#read
  }

  /** The receiver has gone, and with it the exchange. */
  abandon (): void {
    this.#options.http.destroy()
  }
}
