import { Readable } from 'node:stream'
import { ChannelError } from './channel-error.ts'

/** A message to be sent: text is sent as UTF-8. Bytes are not copied and must not be changed until they were sent. */
export type Body = string | Uint8Array | AsyncIterable<string | Uint8Array>

// Of one frame: small enough for the operations of a connection to take turns.
const PIECE_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)

/** Reads a body piece by piece, as it can be sent. */
export class OutgoingBody {
  readonly #body: Body
  readonly #iterator: AsyncIterator<unknown>
  #rest: Buffer = NOTHING

  /** @param failed told of an error of a stream that nothing was read from yet, too */
  constructor (body: Body, failed: (error: ChannelError) => void) {
    this.#body = body
    if (body instanceof Readable) body.on('error', error => { failed(bodyFailed(error)) })
    this.#iterator = iteratorOf(body)
  }

  /**
   * @returns the next piece, never empty; null: that was all
   * @throws ChannelError CHANNEL_BODY_INVALID, CHANNEL_BODY_FAILED with the cause
   */
  async next (): Promise<Buffer | null> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#read()
      if (done === true) return null
      this.#rest = bytesOf(value)
    }
    const piece = this.#rest.subarray(0, PIECE_BYTES)
    this.#rest = this.#rest.subarray(PIECE_BYTES)
    return piece
  }

  /** Nothing more is wanted. */
  release (): void {
    this.#rest = NOTHING
    if (this.#body instanceof Readable) this.#body.destroy()
    // Whatever it says to that: what it is of has ended already, and has said why.
    else void Promise.resolve().then(async () => await this.#iterator.return?.()).catch(() => {})
  }

  async #read (): Promise<IteratorResult<unknown>> {
    try {
      return await this.#iterator.next()
    } catch (error) {
      throw bodyFailed(error)
    }
  }
}

/** @throws ChannelError CHANNEL_BODY_INVALID */
function iteratorOf (body: unknown): AsyncIterator<unknown> {
  if (typeof body === 'string' || body instanceof Uint8Array) return single(body)
  if (typeof body === 'object' && body !== null && Symbol.asyncIterator in body) {
    return (body as AsyncIterable<unknown>)[Symbol.asyncIterator]() // as was just seen
  }
  throw new ChannelError('CHANNEL_BODY_INVALID', { detail: `this is ${nameOf(body)}`, field: 'body' })
}

async function * single (body: string | Uint8Array): AsyncGenerator<string | Uint8Array> {
  yield body
}

function bytesOf (value: unknown): Buffer {
  if (typeof value === 'string') return Buffer.from(value)
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw new ChannelError('CHANNEL_BODY_INVALID', { detail: `it has yielded ${nameOf(value)}`, field: 'body' })
}

function nameOf (value: unknown): string {
  return value === null ? 'null' : typeof value
}

function bodyFailed (cause: unknown): ChannelError {
  return new ChannelError('CHANNEL_BODY_FAILED', { detail: cause instanceof Error ? cause.message : String(cause), cause })
}
