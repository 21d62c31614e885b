import { crc32 } from 'node:zlib'

/**
 * A record on disk, all numbers little-endian:
 * payload length u32, sequence u64, time u64 (ms since 1970), CRC-32 of the payload u32, CRC-32 of these 24 bytes u32, payload.
 * The head's checksum starts from the salt of its file. A payload that looks like a record, and blocks the disk still
 * holds of a deleted file, therefore never pass for records, and a damaged length is never followed.
 */
export const RECORD_HEAD_BYTES = 28

/** Largest payload. Part of the format: a length beyond it is damage. */
export const MAX_PAYLOAD_BYTES = 128 * 1024 * 1024

const CHECKED_BYTES = 24

export interface RecordHead {
  payloadBytes: number
  sequence: number
  timeMs: number
  payloadCrc: number
}

/** The head of a record: what precedes its payload in the file. */
export function encodeHead (sequence: number, timeMs: number, payload: Uint8Array, salt: number): Buffer {
  const head = Buffer.allocUnsafe(RECORD_HEAD_BYTES)
  head.writeUInt32LE(payload.length, 0)
  head.writeBigUInt64LE(BigInt(sequence), 4)
  head.writeBigUInt64LE(BigInt(timeMs), 12)
  head.writeUInt32LE(crc32(payload), 20)
  head.writeUInt32LE(crc32(head.subarray(0, CHECKED_BYTES), salt), CHECKED_BYTES)
  return head
}

/** The sequence number a head at this place would have; cheap, and unchecked. */
export function peekSequence (bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset + 8) * 0x1_0000_0000 + bytes.readUInt32LE(offset + 4)
}

/** Reads a head; null when its checksum is wrong. `bytes` holds all of it from `offset`. */
export function decodeHead (bytes: Buffer, offset: number, salt: number): RecordHead | null {
  const checked = bytes.subarray(offset, offset + CHECKED_BYTES)
  if (crc32(checked, salt) !== bytes.readUInt32LE(offset + CHECKED_BYTES)) return null
  return {
    payloadBytes: bytes.readUInt32LE(offset),
    sequence: peekSequence(bytes, offset),
    timeMs: Number(bytes.readBigUInt64LE(offset + 12)),
    payloadCrc: bytes.readUInt32LE(offset + 20)
  }
}

/** Whether a payload is the one its head was written for. */
export function isIntact (payload: Uint8Array, head: RecordHead): boolean {
  return payload.length === head.payloadBytes && crc32(payload) === head.payloadCrc
}
