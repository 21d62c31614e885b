import type { Broker } from '../../services/channels/broker.ts'
import type { Connection } from '../../services/channels/connection.ts'
import type { Transport } from '../../services/channels/transport.ts'
import { decode, frame, id } from './raw-frames.ts'
import type { Fields, Hex, Received } from './raw-frames.ts'

/** A client without a socket, for many small steps: what it is sent is there once the microtasks have run. */
export class MemoryClient implements Transport {
  readonly id: Hex
  readonly channel: Hex
  readonly received: Received[] = []
  readonly #connection: Connection
  #rest: Buffer = Buffer.alloc(0)
  #paused: Buffer[] | null = null
  isClosed = false

  constructor (broker: Broker, channel: Hex, clientId = id()) {
    this.channel = channel
    this.id = clientId
    this.#connection = broker.connect(this)
  }

  write (bytes: Buffer): void {
    if (this.isClosed) return
    if (this.#paused !== null) this.#paused.push(bytes)
    else this.#connection.receive(bytes)
  }

  bytes (fields: Partial<Fields> & Pick<Fields, 'type' | 'flags' | 'request'>): Buffer {
    return frame({ client: this.id, channel: this.channel, ...fields })
  }

  leave (): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#connection.closed()
  }

  // What the broker does with it.

  send (bytes: readonly Buffer[]): boolean {
    const { frames, rest } = decode(Buffer.concat([this.#rest, ...bytes]))
    this.#rest = rest
    this.received.push(...frames)
    return true
  }

  pause (): void {
    this.#paused ??= []
  }

  resume (): void {
    const waiting = this.#paused ?? []
    this.#paused = null
    for (const bytes of waiting) this.write(bytes)
  }

  end (): void {
    queueMicrotask(() => { this.leave() })
  }

  destroy (): void {
    queueMicrotask(() => { this.leave() })
  }
}
