import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Broker } from '../channels/broker.ts'
import { TcpTransport } from './tcp-transport.ts'

// Idle for so long, a peer is asked whether it still exists.
const KEEP_ALIVE_MS = 30_000

export interface TcpServerOptions {
  broker: Broker
  log: { debug: (fields: object, message: string) => void }
}

/** The broker's door for TCP clients. */
export class TcpServer {
  readonly #server: Server
  readonly #broker: Broker
  readonly #log: TcpServerOptions['log']

  constructor ({ broker, log }: TcpServerOptions) {
    this.#broker = broker
    this.#log = log
    // What is under way for a peer that has ended its side is still sent.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, socket => { this.#accept(socket) })
  }

  /** Where it listens; null: it does not. */
  get address (): AddressInfo | null {
    const address = this.#server.address()
    return typeof address === 'string' ? null : address
  }

  async listen (port: number, host: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ port, host }, () => {
        this.#server.off('error', reject)
        // Such as no file descriptor left: that connection fails, the others go on.
        this.#server.on('error', error => { this.#log.debug({ err: error }, 'a channel connection could not be accepted') })
        resolve()
      })
    })
  }

  /** Accepts nobody any more. Resolves when the last connection is gone, which is up to the broker. */
  async close (): Promise<void> {
    if (!this.#server.listening) return
    await new Promise<void>(resolve => { this.#server.close(() => { resolve() }) })
  }

  #accept (socket: Socket): void {
    if (this.#broker.isFull) {
      socket.destroy()
      this.#log.debug({}, 'a channel connection too many was closed')
      return
    }
    const connection = this.#broker.connect(new TcpTransport(socket))
    socket.on('data', chunk => { connection.receive(chunk) })
    socket.on('end', () => { connection.ended() })
    // What it means is said by the close that follows.
    socket.on('error', () => {})
    socket.on('close', () => { connection.closed() })
  }
}
