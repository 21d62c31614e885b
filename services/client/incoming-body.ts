import { Readable } from 'node:stream'
import { Chunks } from '../channels/exchange.ts'
import type { Frame } from '../channels/frame.ts'
import { payloadOf } from './frames.ts'

export interface IncomingBodyOptions {
  /** Bytes from which on no more is taken until some have been read. */
  bufferBytes: number
  /** It is being read: there may be room again. */
  read: () => void
  /** The one who reads it wants no more. */
  unwanted: () => void
}

/** A message that comes in: ends when it is complete, is destroyed with a ChannelError when it never will be. */
export class IncomingBody extends Readable {
  readonly #options: IncomingBodyOptions
  readonly #chunks = new Chunks()
  #isFull = false

  constructor (options: IncomingBodyOptions) {
    super({ highWaterMark: options.bufferBytes })
    this.#options = options
    // Without it an error would end the process if it came before somebody reads; whoever reads it later gets it then.
    this.on('error', () => {})
  }

  /** The final chunk has come. */
  get isComplete (): boolean {
    return this.#chunks.isFinal
  }

  /** Data frames have to wait until some of what has come was read. */
  get isFull (): boolean {
    return this.#isFull && !this.destroyed
  }

  /** @returns false: this is not the chunk that comes next */
  takeChunk (frame: Frame): boolean {
    if (!this.#chunks.take(frame)) return false
    if (!this.destroyed) for (const piece of payloadOf(frame)) this.#isFull = !this.push(piece)
    return true
  }

  /** All of it is there. */
  complete (): void {
    if (!this.destroyed) this.push(null)
  }

  override _read (): void {
    this.#isFull = false
    this.#options.read()
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    callback(error)
    this.#options.unwanted()
  }
}
