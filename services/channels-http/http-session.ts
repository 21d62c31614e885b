import type { Transport } from '../channels/transport.ts'
import type { Id } from '../channels/wire.ts'
import type { Connect } from '../client/connect.ts'
import { Session } from '../client/session.ts'

export interface HttpSessionOptions {
  channelId: Id
  connect: Connect
  /** Whoever takes nothing of what has come for him for so long is let go. */
  stallMs: number
  /** For what is still to be sent when it is closed in order. */
  closeMs: number
}

/**
 * A client of a channel for one HTTP request and no other: what happens to that request's client happens to it, and the broker
 * does the rest.
 */
export class HttpSession {
  readonly session: Session
  isDestroyed = false
  readonly #transport: Transport

  private constructor (session: Session, transport: Transport) {
    this.session = session
    this.#transport = transport
  }

  static async open ({ channelId, connect, stallMs, closeMs }: HttpSessionOptions): Promise<HttpSession> {
    const session = new Session({ channelId, slowReaderMs: stallMs, closeMs, closed: () => {} })
    const transport = await connect(session.events, new AbortController().signal)
    session.start(transport)
    return new HttpSession(session, transport)
  }

  /** Its work is done. */
  finish (): void {
    this.session.finish()
  }

  /** Its HTTP client has gone: so has it, and whatever it had under way. */
  destroy (): void {
    this.isDestroyed = true
    this.#transport.destroy()
  }
}
