import type { Socket } from 'node:net'
import type { Transport } from '../channels/transport.ts'

/** A client on a TCP socket. */
export class TcpTransport implements Transport {
  readonly #socket: Socket

  constructor (socket: Socket) {
    this.#socket = socket
  }

  send (bytes: readonly Buffer[], taken: () => void): boolean {
    const socket = this.#socket
    let isTaken = false
    socket.cork()
    bytes.forEach((piece, place) => {
      if (place < bytes.length - 1) socket.write(piece)
      else socket.write(piece, () => { if (!isTaken) taken() })
    })
    // One call of the system for all of it. Nothing left to write: the system has taken it.
    socket.uncork()
    isTaken = socket.writableLength === 0
    return isTaken
  }

  pause (): void {
    this.#socket.pause()
  }

  resume (): void {
    this.#socket.resume()
  }

  end (): void {
    this.#socket.end()
  }

  destroy (): void {
    this.#socket.destroy()
  }
}
