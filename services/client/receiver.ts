import type { Frame } from '../channels/frame.ts'
import { LONGEST_MS } from '../channels/deadlines.ts'
import { encodeFrame } from '../channels/frame.ts'
import { ROLE, TYPE } from '../channels/wire.ts'
import type { Id } from '../channels/wire.ts'
import { errorOfText } from './channel-error.ts'
import type { ChannelError } from './channel-error.ts'
import { encodeWithdrawal, newId } from './frames.ts'
import type { FrameIdentity } from './frames.ts'
import { ServedRequest } from './served-request.ts'
import type { Handler } from './served-request.ts'
import type { Claimant, Session } from './session.ts'

// After a claim was refused, before the next one.
const REFUSED_MS = 1000

export interface ReceiverOptions {
  handler: Handler
  /** Requests served at a time; as many claims wait, less those that are being served. */
  concurrency: number
  bufferBytes: number
  onError: (error: unknown) => void
  /** It was stopped and nothing is left of it. */
  over: () => void
}

/** Claims requests and serves them, over one session after the other. */
export class Receiver implements Claimant {
  readonly #options: ReceiverOptions
  #session: Session | null = null
  readonly #claims = new Set<Id>()
  /** Those whose handler is at work, and those whose exchange is not over. */
  readonly #running = new Set<ServedRequest>()
  readonly #live = new Set<ServedRequest>()
  #timer: NodeJS.Timeout | undefined
  #isStopping = false
  #isAborted = false
  #resolve: () => void = () => {}
  readonly #stopped: Promise<void>

  constructor (options: ReceiverOptions) {
    this.#options = options
    this.#stopped = new Promise(resolve => { this.#resolve = resolve })
  }

  /** There is a connection. */
  begin (session: Session): void {
    this.#session = session
    this.#fill()
  }

  given (start: Frame, claim: Id): void {
    const options = this.#options
    const session = this.#session
    this.#claims.delete(claim)
    if (session === null) return
    if (this.#isAborted) {
      session.decline(start)
      this.#fill()
      return
    }
    const request = new ServedRequest({
      session,
      start,
      bufferBytes: options.bufferBytes,
      begun: () => { void request.run(options.handler) },
      failed: options.onError,
      done: () => {
        this.#running.delete(request)
        this.#fill()
      },
      over: () => {
        this.#live.delete(request)
        this.#fill()
      }
    })
    this.#running.add(request)
    this.#live.add(request)
    request.accept()
  }

  refused (text: string, claim: Id): void {
    this.#claims.delete(claim)
    if (this.#isStopping || text === 'timeout') {
      this.#fill()
      return
    }
    const error = errorOfText(text, 'receiver')
    // Of that the close tells, which is about to come.
    if (error.code !== 'CHANNEL_SERVER_STOPPING') this.#options.onError(error)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#fill()
    }, REFUSED_MS)
  }

  /** The connection is gone, and with it every claim. */
  lost (): void {
    this.#session = null
    this.#claims.clear()
    this.#fill()
  }

  /** Takes its claims back, and lets what is being served come to its end; what it is given meanwhile is served too. */
  async stop (): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true
      clearTimeout(this.#timer)
      for (const claim of this.#claims) this.#write(claim, encodeWithdrawal)
      this.#fill()
    }
    await this.#stopped
  }

  /** Breaks off what is being served, and stops; what it is given meanwhile is declined. */
  abort (error: ChannelError): void {
    this.#isAborted = true
    for (const request of this.#live) request.fail(error)
    void this.stop()
  }

  #fill (): void {
    if (this.#isStopping) {
      if (this.#claims.size + this.#running.size + this.#live.size > 0) return
      this.#resolve()
      this.#options.over()
      return
    }
    while (this.#session !== null && this.#claims.size + this.#running.size < this.#options.concurrency) {
      const claim = newId()
      this.#claims.add(claim)
      this.#session.claims.set(claim, this)
      this.#write(claim, encodeClaim)
    }
  }

  #write (claim: Id, encode: (identity: FrameIdentity) => Buffer): void {
    const session = this.#session
    if (session === null) return
    session.write([encode({ flags: ROLE.receive, requestId: claim, clientId: session.clientId, channelId: session.channelId, timeoutMs: LONGEST_MS })])
  }
}

function encodeClaim (identity: FrameIdentity): Buffer {
  return encodeFrame({ type: TYPE.start, ...identity })
}
