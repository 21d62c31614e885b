import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { encodeFrame } from '../channels/frame.ts'
import type { Frame } from '../channels/frame.ts'
import { ROLE, TYPE } from '../channels/wire.ts'
import type { Id } from '../channels/wire.ts'
import type { ChannelError } from '../client/channel-error.ts'
import type { Connect } from '../client/connect.ts'
import { newId } from '../client/frames.ts'
import { OutgoingRequest } from '../client/outgoing-request.ts'
import { RegentError } from '../errors.ts'
import type { TraceContext } from '../trace-context/trace-context.ts'
import { GRACE_MS, HeldRequest } from './held-request.ts'
import { requestError } from './http-errors.ts'
import { HttpSession } from './http-session.ts'

// Of a message, in each direction, between the broker and an HTTP connection.
const BUFFER_BYTES = 256 * 1024

export interface HttpChannelsOptions {
  connect: Connect
  /** Whether there may be another client. */
  hasRoom: () => boolean
  /** What is left of a request's time, in milliseconds; null: there is no such request. */
  remainingMs: (senderId: Id, requestId: Id) => number | null
  stallMs: number
  closeMs: number
}

/** Senders and receivers whose only language is HTTP. Each of their requests is a client of its channel, like any other. */
export class HttpChannels {
  readonly #options: HttpChannelsOptions
  /** What receivers have accepted and not replied to yet. */
  readonly #held = new Map<string, HeldRequest>()
  /** The traces that requests under way are part of, by their sender: frames have no place for that. */
  readonly #contexts = new Map<Id, TraceContext>()

  constructor (options: HttpChannelsOptions) {
    this.#options = options
  }

  /**
   * Send a request to one receiver of the channel.
   * @param body not read before a receiver has accepted the request
   * @param gone its client does not wait any more
   * @param context the trace it is part of, for a receiver that asks over HTTP too
   * @returns the reply, of which something has come, or its end; fails in the middle if the exchange does
   * @throws RegentError RGT_CHANNEL_TIMEOUT, RGT_CHANNEL_FULL, RGT_CHANNEL_RECEIVER_LEFT, RGT_OVERLOADED, RGT_SHUTTING_DOWN
   */
  async send (channelId: Id, body: AsyncIterable<Uint8Array>, timeoutMs: number, gone: AbortSignal, context: TraceContext | null): Promise<Readable> {
    const http = await this.#open(channelId, gone)
    const { clientId } = http.session
    if (context !== null) this.#contexts.set(clientId, context)
    const request = new OutgoingRequest({
      body,
      timeoutMs,
      graceMs: GRACE_MS,
      signal: undefined,
      bufferBytes: BUFFER_BYTES,
      over: () => {
        this.#contexts.delete(clientId)
        http.finish()
      }
    })
    request.begin(http.session)
    try {
      await once(request.reply, 'readable')
    } catch (error) {
      throw requestError(error as ChannelError, request.isAccepted) // a reply fails with nothing else
    }
    return request.reply
  }

  /**
   * Claim the next request of the channel.
   * @param waitMs how long to wait for one; 0: only one that waits already
   * @param gone its client does not wait any more: what it was given before it has accepted it is given to another
   * @returns null: none came in time
   * @throws RegentError RGT_OVERLOADED
   */
  async next (channelId: Id, waitMs: number, gone: AbortSignal): Promise<HeldRequest | null> {
    const http = await this.#open(channelId, gone)
    const { session } = http
    const claim = newId()
    const start = await new Promise<Frame | null>(resolve => {
      session.claims.set(claim, { given: resolve, refused: () => { resolve(null) }, lost: () => { resolve(null) } })
      session.write([encodeFrame({
        type: TYPE.start, flags: ROLE.receive, requestId: claim, clientId: session.clientId, channelId, timeoutMs: Math.max(1, waitMs)
      })])
    })
    if (start === null) {
      http.finish()
      return null
    }
    const { clientId, requestId } = start
    return new HeldRequest({
      http,
      start,
      bufferBytes: BUFFER_BYTES,
      context: this.#contexts.get(clientId) ?? null,
      remainingMs: () => this.#options.remainingMs(clientId, requestId),
      registry: this.#held
    })
  }

  /**
   * Reply to a request that `next` gave out. Resolves when the sender has taken all of it.
   * @param gone the replying client does not send any more
   * @throws RegentError RGT_CHANNEL_REQUEST_UNKNOWN, RGT_CHANNEL_REPLY_UNDER_WAY, RGT_CHANNEL_REQUEST_OVER, RGT_CHANNEL_TIMEOUT
   */
  async reply (channelId: Id, id: string, body: AsyncIterable<Uint8Array>, gone: AbortSignal): Promise<void> {
    const request = this.#held.get(id)
    if (request === undefined || request.channelId !== channelId) throw new RegentError('RGT_CHANNEL_REQUEST_UNKNOWN')
    const replied = request.reply(body)
    gone.addEventListener('abort', () => { request.abandon() }, { once: true })
    await replied
  }

  async #open (channelId: Id, gone: AbortSignal): Promise<HttpSession> {
    const { connect, hasRoom, stallMs, closeMs } = this.#options
    if (!hasRoom()) throw new RegentError('RGT_OVERLOADED')
    const http = await HttpSession.open({ channelId, connect, stallMs, closeMs })
    if (gone.aborted) http.destroy()
    else gone.addEventListener('abort', () => { http.destroy() }, { once: true })
    return http
  }
}
