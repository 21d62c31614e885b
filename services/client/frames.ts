import { randomBytes } from 'node:crypto'
import { encodeFrame } from '../channels/frame.ts'
import type { Frame, FrameFields } from '../channels/frame.ts'
import { AT, FINAL, HEADER_BYTES, ROLE, TYPE } from '../channels/wire.ts'
import type { Id } from '../channels/wire.ts'

/** A random UUID (version 4) as the header holds it. */
export function newId (): Id {
  const bytes = randomBytes(16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString('latin1')
}

/** What all frames of one exchange, in one direction, have in common. */
export type FrameIdentity = Required<Omit<FrameFields, 'type' | 'sequence' | 'payload'>>

/** The chunks of one direction. The payload is not copied. */
export class ChunkWriter {
  readonly #identity: FrameIdentity
  #next = 0

  constructor (identity: FrameIdentity) {
    this.#identity = identity
  }

  /** The next piece of the message. */
  data (payload: Buffer): Buffer[] {
    const header = encodeFrame({ type: TYPE.chunk, ...this.#identity, sequence: this.#next++ })
    header.writeUInt32BE(payload.length, AT.payloadBytes)
    return [header, payload]
  }

  /** The end of the message: an empty chunk, as the end of a stream is known only once nothing more comes. */
  final (): Buffer[] {
    return [encodeFrame({ type: TYPE.chunk, ...this.#identity, sequence: (this.#next++ | FINAL) >>> 0 })]
  }
}

/**
 * Says that the sender gives up. The protocol has no frame for that: this one can never be in order, so the server ends
 * the exchange for both sides, whatever its state; one that is over already it passes over.
 */
export function encodeSenderAbort (identity: FrameIdentity): Buffer {
  return encodeFrame({ type: TYPE.chunk, ...identity, sequence: 0xffff_ffff })
}

/** Says that the receiver gives up: an end before its reply is complete, which the server turns into an error for the sender. */
export function encodeReceiverAbort (identity: FrameIdentity): Buffer {
  return encodeFrame({ type: TYPE.end, ...identity })
}

/**
 * Takes back a claim. The protocol has no frame for that either: with a payload this one can never be a claim, so the
 * server answers it with one error frame of the claim's id, be it waiting still or spent.
 */
export function encodeWithdrawal (identity: FrameIdentity): Buffer {
  return encodeFrame({ type: TYPE.start, ...identity, payload: Buffer.from([0]) })
}

/** The payload, cut wherever the stream was cut; no piece is empty. */
export function payloadOf (frame: Frame): Buffer[] {
  const [first, ...rest] = frame.bytes
  return [first?.subarray(HEADER_BYTES), ...rest].filter(piece => piece !== undefined && piece.length > 0) as Buffer[] // as filtered
}

/** Of error frames too the payload is wanted: it says what is wrong. */
export function hasPayload (frame: Frame): boolean {
  return frame.isData || (frame.type === TYPE.error && frame.flags === ROLE.response)
}
