import { AT, HEADER_BYTES } from '../channels/wire.ts'

/** A part of one frame. */
export interface FramePart {
  bytes: Buffer
  /** The frame ends with it. */
  isLast: boolean
}

/** Finds where frames end in what is sent, wherever that was cut. Takes no copies of payloads. */
export class FrameCutter {
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerBytes = 0
  #missingBytes = 0

  /** @param piece continues the one before it */
  cut (piece: Buffer): FramePart[] {
    const parts: FramePart[] = []
    let from = 0
    for (let at = 0; at < piece.length;) {
      at += this.#advance(piece, at)
      const isLast = this.#headerBytes === HEADER_BYTES && this.#missingBytes === 0
      if (!isLast && at < piece.length) continue
      parts.push({ bytes: piece.subarray(from, at), isLast })
      from = at
      if (isLast) this.#headerBytes = 0
    }
    return parts
  }

  /** @returns how many bytes it went on, at most to the end of the header or of the frame */
  #advance (piece: Buffer, at: number): number {
    if (this.#headerBytes === HEADER_BYTES) {
      const advanced = Math.min(this.#missingBytes, piece.length - at)
      this.#missingBytes -= advanced
      return advanced
    }
    const advanced = piece.copy(this.#header, this.#headerBytes, at)
    this.#headerBytes += advanced
    if (this.#headerBytes === HEADER_BYTES) this.#missingBytes = this.#header.readUInt32BE(AT.payloadBytes)
    return advanced
  }
}
