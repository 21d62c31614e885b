import { crc32 } from 'node:zlib'

/**
 * The first bytes of a log file, little-endian: magic, format version u32, file number u32, sequence of its first record
 * u64, time of its making u64 (ms since 1970), salt u32, CRC-32 of all before u32.
 */
export const HEADER_BYTES = 40

// The line end shows a file that was copied as text.
const MAGIC = Buffer.from('RGTBUF\r\n', 'latin1')
const VERSION = 1

export interface FileHeader {
  number: number
  /**
   * What an earlier file holds from this sequence on was not acknowledged: when a write fails, the numbers of its
   * records are given again, in a new file.
   */
  firstSequence: number
  createdMs: number
  /** Where the checksums of this file's record heads start from; random. */
  salt: number
}

export function encodeHeader ({ number, firstSequence, createdMs, salt }: FileHeader): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES)
  MAGIC.copy(bytes, 0)
  bytes.writeUInt32LE(VERSION, 8)
  bytes.writeUInt32LE(number, 12)
  bytes.writeBigUInt64LE(BigInt(firstSequence), 16)
  bytes.writeBigUInt64LE(BigInt(createdMs), 24)
  bytes.writeUInt32LE(salt, 32)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36)
  return bytes
}

/** Reads a header, or says as a text why it cannot be read. */
export function decodeHeader (bytes: Buffer): FileHeader | string {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'not a file of the buffer'
  // Before the checksum: another version may have its own elsewhere.
  const version = bytes.readUInt32LE(8)
  if (version !== VERSION) return `format version ${version} is not known`
  if (crc32(bytes.subarray(0, 36)) !== bytes.readUInt32LE(36)) return 'the checksum of the header is wrong'
  return {
    number: bytes.readUInt32LE(12),
    firstSequence: Number(bytes.readBigUInt64LE(16)),
    createdMs: Number(bytes.readBigUInt64LE(24)),
    salt: bytes.readUInt32LE(32)
  }
}
