import { Frame } from './frame.ts'
import { AT, HEADER_BYTES, MAX_PAYLOAD_BYTES, VERSION } from './wire.ts'

// Pieces below this are gathered: a piece costs memory besides its bytes, and a peer may send a byte at a time.
const GATHER_BYTES = 16 * 1024
const EMPTY = Buffer.alloc(0)

/** Cuts a stream into frames, however it arrives. Takes no copies of large pieces. */
export class FrameReader {
  #chunk: Buffer = EMPTY
  #offset = 0
  readonly #later: Buffer[] = []
  /** A header that comes in parts, and how much of it is there. */
  #header: Buffer | null = null
  #headerBytes = 0
  /** The frame whose payload is under way, and how much of it is to come. */
  #frame: Frame | null = null
  #missingBytes = 0
  /** Payload that nobody wants. */
  #skipBytes = 0
  #block: Buffer = EMPTY
  #blockBytes = 0
  #isBroken = false
  /** Comes after everything that was pushed, and is no frame. */
  #last: Frame | null = null
  readonly #isWanted: (frame: Frame) => boolean
  /** Frames begun. */
  begun = 0

  /** @param isWanted whose payload is kept; that of the others is passed over */
  constructor (isWanted: (frame: Frame) => boolean = frame => frame.isData) {
    this.#isWanted = isWanted
  }

  push (chunk: Buffer): void {
    if (this.#last !== null) return
    if (this.#offset === this.#chunk.length) {
      this.#chunk = chunk
      this.#offset = 0
    } else {
      this.#later.push(chunk)
    }
  }

  /** After the frames that have been pushed comes something that is none; nothing after it is read. */
  break (fault: Frame): void {
    this.#last ??= fault
  }

  /** Whether a frame has begun whose end has not been read. */
  get isInsideFrame (): boolean {
    return this.#headerBytes > 0 || this.#frame !== null || this.#skipBytes > 0
  }

  /** The next whole frame, or one with a fault, after which nothing is read any more. Null: more bytes are needed. */
  next (): Frame | null {
    while (!this.#isBroken && this.#hasBytes()) {
      if (this.#skipBytes > 0) {
        this.#skipBytes -= this.#advance(this.#skipBytes).length
        continue
      }
      const frame = this.#frame === null ? this.#readHeader() : this.#readPayload(this.#frame)
      if (frame !== null) return frame
    }
    return this.#isBroken || this.#last === null ? null : this.#break(this.#last)
  }

  #hasBytes (): boolean {
    while (this.#offset === this.#chunk.length) {
      this.#chunk = this.#later.shift() ?? EMPTY
      this.#offset = 0
      if (this.#chunk === EMPTY) return false
    }
    return true
  }

  #advance (most: number): Buffer {
    const piece = this.#chunk.subarray(this.#offset, this.#offset + most)
    this.#offset += piece.length
    return piece
  }

  #readHeader (): Frame | null {
    if (this.#headerBytes === 0) {
      this.begun++
      if (this.#chunk[this.#offset] !== VERSION) return this.#break(new Frame(Buffer.alloc(HEADER_BYTES), 'version'))
    }
    const piece = this.#advance(HEADER_BYTES - this.#headerBytes)
    if (piece.length === HEADER_BYTES) return this.#begin(piece, this.#offset - HEADER_BYTES)
    this.#header ??= Buffer.allocUnsafeSlow(HEADER_BYTES)
    piece.copy(this.#header, this.#headerBytes)
    this.#headerBytes += piece.length
    if (this.#headerBytes < HEADER_BYTES) return null
    const header = this.#header
    this.#header = null
    this.#headerBytes = 0
    return this.#begin(header, null)
  }

  /** @param start where in the chunk the header is; null: it came in parts */
  #begin (header: Buffer, start: number | null): Frame | null {
    if (header.readUInt32BE(AT.payloadBytes) > MAX_PAYLOAD_BYTES) return this.#break(new Frame(header, 'size'))
    const frame = new Frame(header)
    if (!this.#isWanted(frame) || frame.payloadBytes === 0) {
      frame.bytes.push(header)
      this.#skipBytes = frame.payloadBytes
      return frame
    }
    const end = this.#offset + frame.payloadBytes
    if (start !== null && end <= this.#chunk.length) {
      frame.bytes.push(this.#chunk.subarray(start, end))
      this.#offset = end
      return frame
    }
    frame.bytes.push(header)
    this.#frame = frame
    this.#missingBytes = frame.payloadBytes
    return null
  }

  #readPayload (frame: Frame): Frame | null {
    const piece = this.#advance(this.#missingBytes)
    this.#missingBytes -= piece.length
    if (piece.length >= GATHER_BYTES) {
      this.#closeBlock(frame)
      frame.bytes.push(piece)
    } else {
      this.#gather(frame, piece)
    }
    if (this.#missingBytes > 0) return null
    this.#closeBlock(frame)
    this.#frame = null
    return frame
  }

  #gather (frame: Frame, piece: Buffer): void {
    for (let taken = 0; taken < piece.length;) {
      if (this.#blockBytes === this.#block.length) {
        this.#closeBlock(frame)
        this.#block = Buffer.allocUnsafeSlow(Math.min(GATHER_BYTES, piece.length - taken + this.#missingBytes))
      }
      const copied = piece.copy(this.#block, this.#blockBytes, taken)
      this.#blockBytes += copied
      taken += copied
    }
  }

  #closeBlock (frame: Frame): void {
    if (this.#blockBytes > 0) frame.bytes.push(this.#block.subarray(0, this.#blockBytes))
    this.#block = EMPTY
    this.#blockBytes = 0
  }

  #break (frame: Frame): Frame {
    this.#isBroken = true
    this.#chunk = EMPTY
    this.#offset = 0
    this.#later.length = 0
    return frame
  }
}
