import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { AT, HEADER_BYTES } from '../../services/channels/wire.ts'
import { encodeFrame } from '../../services/channels/frame.ts'

const ID_BYTES = 16
const TIMEOUT_MS = 60_000

export interface FrameHead {
  type: number
  payloadBytes: number
}

/**
 * Takes frames apart as they come in, at the least cost: payloads are compared with what is expected instead of being
 * put together. The listener gets each frame when it is complete.
 */
export class FrameScanner {
  readonly #onFrame: (head: FrameHead, header: Buffer) => void
  readonly #onPayload: (piece: Buffer, offset: number) => void
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerBytes = 0
  #payloadBytes = 0

  constructor (onFrame: (head: FrameHead, header: Buffer) => void, onPayload: (piece: Buffer, offset: number) => void) {
    this.#onFrame = onFrame
    this.#onPayload = onPayload
  }

  take (chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#headerBytes < HEADER_BYTES) {
        const taken = chunk.copy(this.#header, this.#headerBytes, at, at + HEADER_BYTES - this.#headerBytes)
        this.#headerBytes += taken
        at += taken
        if (!this.#isWhole()) continue
      } else if (!this.#isWhole()) {
        const piece = chunk.subarray(at, at + this.#expected() - this.#payloadBytes)
        this.#onPayload(piece, this.#payloadBytes)
        this.#payloadBytes += piece.length
        at += piece.length
        if (!this.#isWhole()) continue
      }
      const head = {
        type: this.#header.readUInt8(AT.type),
        payloadBytes: this.#payloadBytes
      }
      this.#headerBytes = 0
      this.#payloadBytes = 0
      this.#onFrame(head, this.#header)
    }
  }

  #expected (): number {
    return this.#header.readUInt32BE(AT.payloadBytes)
  }

  #isWhole (): boolean {
    return this.#headerBytes === HEADER_BYTES && this.#payloadBytes === this.#expected()
  }
}

/** A client of the channels that writes frames made beforehand. */
export class FrameClient {
  readonly id = randomBytes(ID_BYTES).toString('latin1')
  readonly #socket: Socket
  readonly #channelId: string
  readonly #frames = new Map<number, Buffer>()

  private constructor (socket: Socket, channelId: string) {
    this.#socket = socket
    this.#channelId = channelId
  }

  static async connect (port: number, channelId: string): Promise<FrameClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new FrameClient(socket, channelId)
  }

  /** Calls `take` for all that comes in, `fail` when the connection ends without having been closed here. */
  listen (take: (chunk: Buffer) => void, fail: (error: Error) => void): void {
    this.#socket.on('data', take)
    this.#socket.on('error', fail)
    this.#socket.on('close', () => { fail(new Error('a channel connection was closed')) })
  }

  /** Makes a header once; `write` names it by its type and flags. A payload goes into a single chunk, the first and last. */
  prepare (type: number, flags: number, clientId: string, payloadBytes: number): void {
    const header = encodeFrame({ type, flags, requestId: '\0'.repeat(ID_BYTES), clientId, channelId: this.#channelId, timeoutMs: TIMEOUT_MS })
    header.writeUInt32BE(payloadBytes, AT.payloadBytes)
    this.#frames.set(type << 16 | flags, header)
  }

  /** One of the prepared headers for this request, and the payload it announces. What was written before must have been answered. */
  write (type: number, flags: number, requestId: Buffer, payload?: Buffer): void {
    const header = this.#frames.get(type << 16 | flags)
    if (header === undefined) throw new Error('a frame that was not prepared')
    requestId.copy(header, AT.requestId)
    this.#socket.write(header)
    if (payload !== undefined) this.#socket.write(payload)
  }

  /** Several writes go out as one. */
  together (writes: () => void): void {
    this.#socket.cork()
    writes()
    this.#socket.uncork()
  }

  close (): void {
    this.#socket.removeAllListeners('close')
    this.#socket.destroy()
  }
}
