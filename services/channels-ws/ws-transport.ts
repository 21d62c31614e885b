import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Closing, Transport } from '../channels/transport.ts'
import { FrameCutter } from './frame-cutter.ts'
import type { Peer } from './keep-alive.ts'

// RFC 6455, section 7.4.1.
const CLOSE_CODES: Readonly<Record<Closing, number>> = { over: 1000, stopping: 1001, invalid: 1002, 'no frame': 1003, late: 1008, 'too large': 1009 }

/**
 * A client on a WebSocket: a message is a frame. One that is sent in several pieces is a fragmented message, so that
 * nothing needs to be put together, and what a slow client has taken is seen piece by piece.
 */
export class WsTransport implements Transport, Peer {
  readonly #ws: WebSocket
  /** What the WebSocket is on. */
  readonly #socket: Duplex
  readonly #cutter = new FrameCutter()

  constructor (ws: WebSocket, socket: Duplex) {
    this.#ws = ws
    this.#socket = socket
  }

  get isPaused (): boolean {
    return this.#ws.isPaused
  }

  send (bytes: readonly Buffer[], taken: () => void): boolean {
    const socket = this.#socket
    const parts = bytes.flatMap(piece => this.#cutter.cut(piece))
    let isTaken = false
    socket.cork()
    parts.forEach(({ bytes, isLast }, place) => {
      const isEnd = place === parts.length - 1
      this.#ws.send(bytes, { binary: true, fin: isLast }, isEnd ? () => { if (!isTaken) taken() } : undefined)
    })
    // One call of the system for all of it. Nothing left to write: the system has taken it.
    socket.uncork()
    isTaken = socket.writableLength === 0
    return isTaken
  }

  ping (): void {
    this.#ws.ping()
  }

  pause (): void {
    this.#ws.pause()
  }

  resume (): void {
    this.#ws.resume()
  }

  end (closing: Closing): void {
    this.#ws.close(CLOSE_CODES[closing])
  }

  destroy (): void {
    this.#ws.terminate()
  }
}
