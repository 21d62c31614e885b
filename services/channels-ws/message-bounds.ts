// RFC 6455, section 5.2.
const FINAL_BIT = 0x80
const OPCODE_BITS = 0x0f
const FIRST_CONTROL_OPCODE = 0x08
const LENGTH_BITS = 0x7f
const SHORT_LENGTH = 126
const LONG_LENGTH = 127
const MASK_BYTES = 4
const LONGEST_HEADER_BYTES = 14

/**
 * Follows a peer's WebSocket stream to know whether a message is under way: the reader of messages says nothing before
 * one is whole. Control frames may come between the fragments of a message and are none.
 */
export class MessageBounds {
  readonly #header = Buffer.alloc(LONGEST_HEADER_BYTES)
  #headerBytes = 0
  #missingBytes = 0
  #isFragmented = false
  #isControl = false

  push (chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#missingBytes > 0) {
        const skipped = Math.min(this.#missingBytes, chunk.length - at)
        this.#missingBytes -= skipped
        at += skipped
      } else {
        this.#header[this.#headerBytes++] = chunk.readUInt8(at++)
        if (this.#headerBytes === headerBytes(this.#header, this.#headerBytes)) this.#begin()
      }
    }
  }

  /** Whether a part of a message has come. */
  get isInside (): boolean {
    if (this.#isFragmented) return true
    return this.#headerBytes > 0 ? !isControl(this.#header.readUInt8(0)) : this.#missingBytes > 0 && !this.#isControl
  }

  #begin (): void {
    const first = this.#header.readUInt8(0)
    const length = this.#header.readUInt8(1) & LENGTH_BITS
    this.#headerBytes = 0
    // More than 2^53 is cut off by the reader of messages.
    this.#missingBytes = length === SHORT_LENGTH ? this.#header.readUInt16BE(2) : length === LONG_LENGTH ? Number(this.#header.readBigUInt64BE(2)) : length
    this.#isControl = isControl(first)
    if (!this.#isControl) this.#isFragmented = (first & FINAL_BIT) === 0
  }
}

function isControl (first: number): boolean {
  return (first & OPCODE_BITS) >= FIRST_CONTROL_OPCODE
}

/** How long a frame's header is, as far as its beginning tells: peers mask what they send. */
function headerBytes (header: Buffer, known: number): number {
  const length = known < 2 ? 0 : header.readUInt8(1) & LENGTH_BITS
  return 2 + (length === SHORT_LENGTH ? 2 : length === LONG_LENGTH ? 8 : 0) + MASK_BYTES
}
