import type { Readable } from 'node:stream'
import { LONGEST_MS } from '../channels/deadlines.ts'
import type { Id } from '../channels/wire.ts'
import { Backoff } from './backoff.ts'
import { channelIdOf } from './channel-id.ts'
import { ChannelError } from './channel-error.ts'
import type { Connect } from './connect.ts'
import { OutgoingRequest } from './outgoing-request.ts'
import type { Body } from './outgoing-body.ts'
import { Receiver } from './receiver.ts'
import type { Handler } from './served-request.ts'
import { Session } from './session.ts'

/** `idle`: not connected, and nothing needs it. `waiting`: before the next attempt. */
export type ChannelState = 'idle' | 'connecting' | 'connected' | 'waiting' | 'closed'

export interface ChannelClientOptions {
  /** The channel: a UUID. */
  channel: string
  /** Of each request or reply that comes in, in bytes: what is kept for a reader who is behind. 262 144 unless given. */
  bufferBytes?: number
  /**
   * A message that comes in and is not read on for so long fails with CHANNEL_SLOW_READER, in milliseconds: until then
   * it holds up everything else on the connection. 3000 unless given; shorter than the server's CHANNELS_STALL_TIMEOUT.
   */
  slowReaderMs?: number
  /** Longest attempt to connect, in milliseconds. 10 000 unless given. */
  connectTimeoutMs?: number
  /** Told of each change, with the error that has led to it. */
  onStateChange?: (state: ChannelState, error?: ChannelError) => void
}

export interface SendOptions {
  /** For the whole exchange, from this call on, in milliseconds. 30 000 unless given. */
  timeoutMs?: number
  /** Gives up when it is aborted: CHANNEL_ABORTED, whose cause is the signal's reason. */
  signal?: AbortSignal
}

export interface ReceiveOptions {
  /** Most requests served at a time. 1 unless given. */
  concurrency?: number
  /** Stops receiving when it is aborted; what is being served is broken off. */
  signal?: AbortSignal
  /**
   * Told what a handler, or the reply that it has returned, has thrown (the sender learns only that it has), and why
   * the server refuses claims. A process warning unless given.
   */
  onError?: (error: unknown) => void
}

export interface Receiving {
  /** Claims nothing more. Resolves when what is being served has come to its end. */
  stop: () => Promise<void>
}

const FLUSH_MS = 1000

/**
 * A client of one channel: sends requests and serves those of others, any number at once, over one connection. It
 * connects when there is something to do, and again after a loss: requests under way then fail, receivers claim anew.
 */
export class ChannelClient {
  readonly #connect: Connect
  readonly #channelId: Id
  readonly #options: Required<Omit<ChannelClientOptions, 'channel' | 'onStateChange'>>
  readonly #onStateChange: ChannelClientOptions['onStateChange']
  readonly #backoff = new Backoff()
  readonly #requests = new Set<OutgoingRequest>()
  readonly #receivers = new Set<Receiver>()
  #session: Session | null = null
  #attempt: AbortController | null = null
  #retry: NodeJS.Timeout | undefined
  #state: ChannelState = 'idle'
  #lastError: ChannelError | undefined
  #closing: Promise<void> | null = null
  #isBrokenOff = false
  /** Waits for the end of what is under way, or of the connection. */
  #settled: () => void = () => {}

  /**
   * @param connect opens a connection to a server, each time one is needed
   * @throws ChannelError CHANNEL_OPTION_INVALID
   */
  constructor (connect: Connect, { channel, bufferBytes = 262_144, slowReaderMs = 3000, connectTimeoutMs = 10_000, onStateChange }: ChannelClientOptions) {
    this.#connect = connect
    this.#channelId = channelIdOf(channel)
    this.#options = {
      bufferBytes: wholeNumber('bufferBytes', bufferBytes, 1_073_741_824),
      slowReaderMs: wholeNumber('slowReaderMs', slowReaderMs, LONGEST_MS),
      connectTimeoutMs: wholeNumber('connectTimeoutMs', connectTimeoutMs, LONGEST_MS)
    }
    this.#onStateChange = onStateChange
  }

  get state (): ChannelState {
    return this.#state
  }

  /**
   * Sends a request to one receiver of the channel.
   * @returns the reply: ends when it is complete and the request was sent in full, else is destroyed with a ChannelError;
   * destroying it gives up. An error that comes while nobody reads is kept for whoever reads next.
   * @throws ChannelError CHANNEL_OPTION_INVALID, CHANNEL_BODY_INVALID
   */
  send (body: Body, { timeoutMs = 30_000, signal }: SendOptions = {}): Readable {
    const request = new OutgoingRequest({
      body,
      timeoutMs: wholeNumber('timeoutMs', timeoutMs, LONGEST_MS),
      signal,
      bufferBytes: this.#options.bufferBytes,
      outage: () => this.#session === null ? this.#lastError : undefined,
      over: () => {
        this.#requests.delete(request)
        this.#settle()
      }
    })
    this.#requests.add(request)
    if (this.#closing !== null) queueMicrotask(() => { request.fail(new ChannelError('CHANNEL_CLOSED')) })
    else if (this.#session !== null) request.begin(this.#session)
    else this.#open()
    return request.reply
  }

  /**
   * Serves requests of others, from now on until it is stopped.
   * @throws ChannelError CHANNEL_OPTION_INVALID, CHANNEL_CLOSED
   */
  receive (handler: Handler, { concurrency = 1, signal, onError = warn }: ReceiveOptions = {}): Receiving {
    if (this.#closing !== null) throw new ChannelError('CHANNEL_CLOSED')
    const aborted = (): void => { receiver.abort(new ChannelError('CHANNEL_ABORTED', { cause: signal?.reason })) }
    const receiver = new Receiver({
      handler,
      concurrency: wholeNumber('concurrency', concurrency, 1_000_000),
      bufferBytes: this.#options.bufferBytes,
      // A fault of its own is not one of what has called it.
      onError: error => { process.nextTick(onError, error) },
      over: () => {
        signal?.removeEventListener('abort', aborted)
        this.#receivers.delete(receiver)
        this.#settle()
      }
    })
    this.#receivers.add(receiver)
    signal?.addEventListener('abort', aborted, { once: true })
    if (signal?.aborted === true) aborted()
    else if (this.#session !== null) receiver.begin(this.#session)
    else this.#open()
    return { stop: async () => { await receiver.stop() } }
  }

  /**
   * Claims nothing more, sends nothing more, lets what is under way come to its end, and closes the connection.
   * @param graceMs what is under way after so long fails with CHANNEL_CLOSED, in milliseconds
   */
  async close (graceMs = 10_000): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    await this.#closing
  }

  async #close (graceMs: number): Promise<void> {
    this.#attempt?.abort()
    clearTimeout(this.#retry)
    for (const receiver of this.#receivers) void receiver.stop()
    if (this.#session === null) this.#breakOff()
    const grace = setTimeout(() => { this.#breakOff() }, graceMs)
    while (this.#requests.size > 0 || (this.#receivers.size > 0 && !this.#isBrokenOff)) await this.#change()
    clearTimeout(grace)
    this.#session?.finish()
    while (this.#session !== null) await this.#change()
    this.#become('closed')
  }

  #breakOff (): void {
    this.#isBrokenOff = true
    const error = new ChannelError('CHANNEL_CLOSED')
    for (const request of this.#requests) request.fail(error)
    for (const receiver of this.#receivers) receiver.abort(error)
    this.#settled()
  }

  async #change (): Promise<void> {
    await new Promise<void>(resolve => { this.#settled = resolve })
  }

  get #isNeeded (): boolean {
    return this.#closing === null && (this.#requests.size > 0 || this.#receivers.size > 0)
  }

  /** Something is over. */
  #settle (): void {
    this.#settled()
    if (this.#state !== 'waiting' || this.#isNeeded) return
    clearTimeout(this.#retry)
    this.#become('idle')
  }

  #open (): void {
    if (this.#state === 'idle') void this.#tryToConnect()
  }

  async #tryToConnect (): Promise<void> {
    const attempt = this.#attempt = new AbortController()
    const { slowReaderMs, connectTimeoutMs } = this.#options
    const session = new Session({
      channelId: this.#channelId,
      slowReaderMs,
      closeMs: FLUSH_MS,
      closed: error => { if (this.#session === session) this.#lost(error) }
    })
    this.#become('connecting')
    const timer = setTimeout(() => { attempt.abort(new Error(`no connection within ${connectTimeoutMs} ms`)) }, connectTimeoutMs)
    try {
      const transport = await this.#connect(session.events, attempt.signal)
      session.start(transport)
      if (attempt.signal.aborted || !session.isOpen) {
        transport.destroy()
        throw new Error('closed at once')
      }
      this.#connected(session)
    } catch (cause) {
      this.#retryLater(new ChannelError('CHANNEL_NOT_CONNECTED', { detail: cause instanceof Error ? cause.message : String(cause), cause }))
    } finally {
      clearTimeout(timer)
      this.#attempt = null
    }
  }

  #connected (session: Session): void {
    this.#session = session
    this.#backoff.connected()
    this.#become('connected')
    for (const request of this.#requests) request.begin(session)
    for (const receiver of this.#receivers) receiver.begin(session)
  }

  #lost (error: ChannelError): void {
    this.#session = null
    for (const receiver of this.#receivers) receiver.lost()
    this.#settled()
    if (this.#closing === null) this.#retryLater(error)
  }

  #retryLater (error: ChannelError): void {
    if (this.#closing !== null) return
    this.#lastError = error
    const isNeeded = this.#isNeeded
    const afterMs = this.#backoff.nextMs()
    if (isNeeded) this.#retry = setTimeout(() => { void this.#tryToConnect() }, afterMs)
    this.#become(isNeeded ? 'waiting' : 'idle', error)
  }

  #become (state: ChannelState, error?: ChannelError): void {
    this.#state = state
    // A fault of its own is not one of what has led to it.
    if (this.#onStateChange !== undefined) process.nextTick(this.#onStateChange, state, error)
  }
}

/** @throws ChannelError CHANNEL_OPTION_INVALID */
function wholeNumber (field: string, value: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return value
  throw new ChannelError('CHANNEL_OPTION_INVALID', { detail: `${field}: a whole number from 1 to ${most} is required`, field })
}

function warn (error: unknown): void {
  process.emitWarning(error instanceof Error ? error : new Error('A request could not be served', { cause: error }))
}
