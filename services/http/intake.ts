import type { IncomingMessage } from 'node:http'
import { RegentError } from '../errors.ts'

// Pieces of a body that are kept apart. A Buffer takes hundreds of bytes whatever it holds: the framework's own reader
// keeps every one until the end, and 10 MB in chunks of a byte took 3.4 GB.
const MOST_PIECES = 1000
// Bodies of the largest size that may be on their way at once, all connections together.
const LARGEST_AT_ONCE = 4

/** Reads bodies, and bounds what all those on their way take together. */
export class Intake {
  readonly #arriving = new Set<Body>()
  #bytes = 0

  /** A body whole. What goes beyond its limit is refused as soon as that is known; the connection ends with the answer. */
  async read (source: IncomingMessage, limitBytes: number): Promise<Buffer> {
    const tooLarge = (): RegentError => new RegentError('RGT_BODY_TOO_LARGE', { detail: String(limitBytes) })
    if (Number(source.headers['content-length'] ?? 0) > limitBytes) throw tooLarge()
    const body = new Body()
    this.#arriving.add(body)
    source.on('data', (piece: Buffer) => {
      // What comes after a refusal is read and dropped.
      if (!this.#arriving.has(body)) return
      this.#bytes += piece.length
      body.add(piece)
      if (body.bytes > limitBytes) this.#refuse(body, tooLarge())
      else if (this.#bytes > limitBytes * LARGEST_AT_ONCE) this.#refuse(this.#largest(body), new RegentError('RGT_OVERLOADED'))
    })
    source.once('end', () => {
      this.#leave(body)
      body.finish()
    })
    source.once('error', (error: Error) => {
      this.#refuse(body, new RegentError('RGT_REQUEST_INVALID', { detail: 'The request body ended early', cause: error }))
    })
    return await body.whole
  }

  #refuse (body: Body, error: RegentError): void {
    this.#leave(body)
    body.refuse(error)
  }

  #leave (body: Body): void {
    if (this.#arriving.delete(body)) this.#bytes -= body.bytes
  }

  // Not the one that came last: bodies of ordinary size pass while huge ones crowd each other out.
  #largest (largest: Body): Body {
    for (const body of this.#arriving) if (body.bytes > largest.bytes) largest = body
    return largest
  }
}

/** One body on its way. */
class Body {
  readonly whole: Promise<Buffer>
  bytes = 0
  #pieces: Buffer[] = []
  #merged: Buffer[] = []
  #resolve: (whole: Buffer) => void = () => {}
  #reject: (error: RegentError) => void = () => {}

  constructor () {
    this.whole = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  add (piece: Buffer): void {
    this.bytes += piece.length
    this.#pieces.push(piece)
    if (this.#pieces.length < MOST_PIECES) return
    this.#merged.push(Buffer.concat(this.#pieces))
    this.#pieces = []
  }

  finish (): void {
    const [first] = this.#pieces
    // Most come in one piece.
    this.#resolve(first?.length === this.bytes ? first : Buffer.concat([...this.#merged, ...this.#pieces], this.bytes))
  }

  refuse (error: RegentError): void {
    this.#pieces = []
    this.#merged = []
    this.#reject(error)
  }
}
