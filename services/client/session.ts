import type { Frame } from '../channels/frame.ts'
import { FrameReader } from '../channels/frame-reader.ts'
import type { Transport } from '../channels/transport.ts'
import { ROLE, TYPE } from '../channels/wire.ts'
import type { Id } from '../channels/wire.ts'
import { ChannelError } from './channel-error.ts'
import type { ConnectionEvents } from './connect.ts'
import { FrameWriter } from './frame-writer.ts'
import { encodeReceiverAbort, hasPayload, newId, payloadOf } from './frames.ts'

/** One side of an exchange, as its connection sees it. */
export interface Operation {
  /** It takes no data now: the next chunk has to wait. */
  readonly isFull: boolean
  take: (frame: Frame) => void
  /** An error frame has ended it. */
  refused: (text: string) => void
  /** It is over here, for that reason; the server is told. */
  fail: (error: ChannelError) => void
  /** It is over: there is no connection any more. */
  lost: (error: ChannelError) => void
}

/** Who has claimed a request. */
export interface Claimant {
  given: (start: Frame, claim: Id) => void
  refused: (text: string, claim: Id) => void
  /** There is no connection any more, and with it goes every claim. */
  lost: () => void
}

export interface SessionOptions {
  channelId: Id
  /** A frame whose reader takes nothing for so long ends the operation that it is of. */
  slowReaderMs: number
  /** For what is still to be sent, and for the server to close, when the session is closed in order. */
  closeMs: number
  closed: (error: ChannelError) => void
}

/** What happens on one connection, under a client id of its own: several operations at once, in both roles. */
export class Session {
  /** The server knows the connection by it; another one could not use it as long as this one is not gone. */
  readonly clientId = newId()
  readonly channelId: Id
  /** What it has asked for, by request id. */
  readonly requests = new Map<Id, Operation>()
  /** What it was asked for; two senders may use the same request id. */
  readonly served = new Map<string, Operation>()
  /** Claims that wait for a request, the oldest first. */
  readonly claims = new Map<Id, Claimant>()
  readonly events: ConnectionEvents
  readonly #options: SessionOptions
  readonly #reader = new FrameReader(hasPayload)
  #transport: Transport | null = null
  #writer: FrameWriter | null = null
  #state: 'open' | 'closing' | 'closed' = 'open'
  /** A frame that has to wait until its reader has read; until then nothing more is read. */
  #held: Frame | null = null
  #timer: NodeJS.Timeout | undefined
  #isReading = false

  constructor (options: SessionOptions) {
    this.#options = options
    this.channelId = options.channelId
    this.events = {
      receive: bytes => { this.#receive(bytes) },
      closed: error => { this.#closed(error) }
    }
  }

  get isOpen (): boolean {
    return this.#state === 'open'
  }

  /** The connection is there; nothing was sent yet. */
  start (transport: Transport): void {
    this.#transport = transport
    this.#writer = new FrameWriter(transport)
  }

  write (pieces: readonly Buffer[]): void {
    this.#writer?.write(pieces)
  }

  /** Resolves when more data may be written, or never has to be. */
  async room (): Promise<void> {
    await this.#writer?.room()
  }

  /** Gives up on a request that is not to be served. */
  decline ({ requestId, clientId, timeoutMs }: Frame): void {
    this.write([encodeReceiverAbort({ flags: ROLE.response, requestId, clientId, channelId: this.channelId, timeoutMs: Math.min(timeoutMs, Number.MAX_SAFE_INTEGER) })])
  }

  /** Somebody has read, or an operation is over: the frame that is held may have a place to go. */
  readonly proceed = (): void => {
    if (this.#held !== null && !this.#isReading) this.#read()
  }

  /** Sends what there is to send, then closes; `closed` is told in the end. */
  finish (): void {
    const transport = this.#transport
    if (this.#state !== 'open' || transport === null) return
    this.#state = 'closing'
    this.#letGo()
    this.#timer = setTimeout(() => { transport.destroy() }, this.#options.closeMs)
    this.#writer?.finish(() => { transport.end('over') })
    transport.resume()
  }

  #receive (bytes: Buffer): void {
    if (this.#state !== 'open') return
    this.#reader.push(bytes)
    if (this.#held === null) this.#read()
  }

  #read (): void {
    const wasHeld = this.#held !== null
    // What is read may be asked for while it is handed over.
    this.#isReading = true
    while (this.#state === 'open') {
      const frame = this.#held ?? this.#reader.next()
      if (frame === null) break
      const operation = this.#operationOf(frame)
      const mustWait = frame.type === TYPE.chunk && operation?.isFull === true
      this.#held = mustWait ? frame : null
      if (mustWait) break
      this.#take(frame, operation)
    }
    this.#isReading = false
    if (this.#state !== 'open') return
    if (wasHeld) clearTimeout(this.#timer)
    if (this.#held !== null) this.#timer = setTimeout(this.#dropSlowReader, this.#options.slowReaderMs)
    if (this.#held !== null && !wasHeld) this.#transport?.pause()
    if (this.#held === null && wasHeld) this.#transport?.resume()
  }

  #take (frame: Frame, operation: Operation | undefined): void {
    if (frame.fault !== null) {
      this.#closed(new ChannelError('CHANNEL_INVALID_FRAME', { detail: frame.fault }))
      this.#transport?.destroy()
    } else if (frame.type === TYPE.error) this.#refused(frame)
    else if (frame.type === TYPE.start && frame.flags === ROLE.request) this.#given(frame)
    // One that is of none is late: its operation is over on this side.
    else operation?.take(frame)
  }

  #operationOf ({ flags, requestId, clientId }: Frame): Operation | undefined {
    if (flags === ROLE.request) return this.served.get(clientId + requestId)
    return clientId === this.clientId ? this.requests.get(requestId) : undefined
  }

  /** Claims are answered in the order in which they were made. */
  #given (start: Frame): void {
    const [oldest] = this.claims
    if (oldest === undefined) {
      this.decline(start)
      return
    }
    const [claim, claimant] = oldest
    this.claims.delete(claim)
    claimant.given(start, claim)
  }

  #refused (frame: Frame): void {
    const { requestId } = frame
    const text = Buffer.concat(payloadOf(frame)).toString()
    const claimant = this.claims.get(requestId)
    this.claims.delete(requestId)
    claimant?.refused(text, requestId)
    this.requests.get(requestId)?.refused(text)
    // The error names the one whom it is for, not the sender: if two have chosen the same id it may be of either.
    for (const [key, operation] of this.served) if (key.endsWith(requestId)) operation.refused(text)
  }

  readonly #dropSlowReader = (): void => {
    if (this.#held !== null) this.#operationOf(this.#held)?.fail(new ChannelError('CHANNEL_SLOW_READER'))
  }

  #letGo (): void {
    clearTimeout(this.#timer)
    this.#held = null
  }

  #closed (cause?: Error): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#letGo()
    this.#writer?.close()
    const error = cause instanceof ChannelError ? cause : new ChannelError('CHANNEL_CONNECTION_LOST', { cause })
    for (const operation of [...this.requests.values(), ...this.served.values()]) operation.lost(error)
    const claimants = new Set(this.claims.values())
    this.claims.clear()
    for (const claimant of claimants) claimant.lost()
    this.#options.closed(error)
  }
}
