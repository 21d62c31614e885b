import type { Broker } from '../channels/broker.ts'
import type { Transport, TransportKind } from '../channels/transport.ts'
import type { Connect, ConnectionEvents } from './connect.ts'

/**
 * Connects a client in the same process to the broker. Bytes are handed over, not copied, a batch per turn of the event
 * loop: however much there is, everything else goes on.
 * @param kind what the broker counts such connections as
 */
export function connectLocally (broker: Broker, kind: TransportKind = 'local'): Connect {
  return async (events, signal) => {
    signal.throwIfAborted()
    if (broker.isFull) throw new Error('there are as many connections as there may be')
    const [client, server] = [new LocalTransport(), new LocalTransport()]
    client.attach(server, events)
    const connection = broker.connect(server, kind)
    server.attach(client, {
      receive: bytes => { connection.receive(bytes) },
      ended: () => { connection.ended() },
      closed: () => { connection.closed() }
    })
    return client
  }
}

interface LocalEvents extends ConnectionEvents {
  /** The other end has sent everything that it will. Unless it is of interest, this end then ends too. */
  ended?: () => void
}

/** One end of a connection in memory. */
class LocalTransport implements Transport {
  #peer: LocalTransport | null = null
  #events: LocalEvents | null = null
  /** A batch under way to this end, and whom to tell when all of it has come. */
  #incoming: Buffer[] = []
  #taken: (() => void) | null = null
  #isPaused = false
  #isScheduled = false
  #hasEnded = false
  #isClosed = false

  attach (peer: LocalTransport, events: LocalEvents): void {
    this.#peer = peer
    this.#events = events
  }

  send (bytes: readonly Buffer[], taken: () => void): boolean {
    // An end that is gone takes nothing; its close is on the way.
    if (this.#peer !== null) this.#peer.#deliver([...bytes], taken)
    return false
  }

  pause (): void {
    this.#isPaused = true
  }

  resume (): void {
    this.#isPaused = false
    this.#schedule()
  }

  end (): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    setImmediate(() => {
      const peer = this.#peer
      if (this.#isClosed || peer === null) return
      if (peer.#events?.ended === undefined) peer.end()
      else peer.#events.ended()
      if (peer.#hasEnded) this.destroy()
    })
  }

  destroy (): void {
    this.#close()
    if (this.#peer !== null) this.#peer.#close()
  }

  #deliver (bytes: Buffer[], taken: () => void): void {
    this.#incoming = bytes
    this.#taken = taken
    this.#schedule()
  }

  #schedule (): void {
    if (this.#isScheduled || this.#taken === null) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#receive()
    })
  }

  #receive (): void {
    while (!this.#isPaused && !this.#isClosed) {
      const piece = this.#incoming.shift()
      if (piece === undefined) break
      this.#events?.receive(piece)
    }
    if (this.#incoming.length > 0 || this.#isClosed) return
    const taken = this.#taken
    this.#taken = null
    taken?.()
  }

  #close (): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#incoming = []
    this.#taken = null
    setImmediate(() => { this.#events?.closed() })
  }
}
