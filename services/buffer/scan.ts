import { readFully } from './file-system.ts'
import type { BufferFile } from './file-system.ts'
import { MAX_PAYLOAD_BYTES, RECORD_HEAD_BYTES, decodeHead, isIntact, peekSequence } from './record.ts'
import type { RecordHead } from './record.ts'

// A read; a longer record is read by itself.
const CHUNK_BYTES = 256 * 1024

/** A stretch of a log file: an intact record, or bytes that are none. */
export type Piece =
  | {
    kind: 'record'
    offset: number
    end: number
    sequence: number
    timeMs: number
    /** A view that is valid until the next stretch is asked for. */
    payload: Buffer
    /** Sequence numbers skipped before it. */
    missing: number
  }
  | {
    kind: 'damage'
    offset: number
    end: number
    /** The sequence number that should have come here, and that of the record which comes next; null when none does. */
    sequence: number
    nextSequence: number | null
  }

export interface ScanOptions {
  file: BufferFile
  /** Byte offsets: of the first record, and where the file is taken to end. */
  from: number
  to: number
  salt: number
  /** The sequence number of the first record, and one that no record reaches. */
  sequence: number
  limit: number
}

/**
 * Reads the records of a file in order. Where a record is damaged, the next place with an intact head of a later record
 * is looked for, byte by byte. Holds one chunk or one record in memory.
 * @throws what reading the file throws
 */
export async function * scan ({ file, from, to, salt, sequence, limit }: ScanOptions): AsyncGenerator<Piece[], void, undefined> {
  const window = new Window(file, to)
  let offset = from
  let expected = sequence

  // The head of a record that can be here; null when there is none.
  function headAt (at: number): RecordHead | null {
    const bytes = window.bytes
    const index = at - window.start
    // Before the checksum: in the middle of damage this is asked for every byte. No file skips more records than it has bytes.
    const claimed = peekSequence(bytes, index)
    if (claimed < expected || claimed >= limit || claimed - expected > to) return null
    if (bytes.readUInt32LE(index) > Math.min(MAX_PAYLOAD_BYTES, to - at - RECORD_HEAD_BYTES)) return null
    return decodeHead(bytes, index, salt)
  }

  async function findHead (after: number): Promise<{ at: number, sequence: number | null }> {
    for (let at = after; to - at >= RECORD_HEAD_BYTES; at++) {
      if (!window.covers(at, RECORD_HEAD_BYTES)) await window.load(at, RECORD_HEAD_BYTES)
      const head = headAt(at)
      if (head !== null) return { at, sequence: head.sequence }
    }
    return { at: to, sequence: null }
  }

  while (offset < to) {
    const pieces: Piece[] = []
    let isDamaged = false
    let wanted = RECORD_HEAD_BYTES
    while (offset < to && !isDamaged) {
      if (to - offset < RECORD_HEAD_BYTES) {
        isDamaged = true
        break
      }
      if (!window.covers(offset, RECORD_HEAD_BYTES)) break
      const head = headAt(offset)
      if (head === null) {
        isDamaged = true
        break
      }
      wanted = RECORD_HEAD_BYTES + head.payloadBytes
      if (!window.covers(offset, wanted)) break
      const end = offset + wanted
      const payload = window.bytes.subarray(offset + RECORD_HEAD_BYTES - window.start, end - window.start)
      if (!isIntact(payload, head)) {
        isDamaged = true
        break
      }
      pieces.push({ kind: 'record', offset, end, sequence: head.sequence, timeMs: head.timeMs, payload, missing: head.sequence - expected })
      expected = head.sequence + 1
      offset = end
      wanted = RECORD_HEAD_BYTES
    }
    if (pieces.length > 0) yield pieces
    if (isDamaged) {
      const next = await findHead(offset + 1)
      yield [{ kind: 'damage', offset, end: next.at, sequence: expected, nextSequence: next.sequence }]
      offset = next.at
      expected = next.sequence ?? expected
    } else if (offset < to) {
      await window.load(offset, wanted)
    }
  }
}

// The part of the file that is in memory.
class Window {
  readonly #file: BufferFile
  readonly #to: number
  #chunk: Buffer | null = null
  start = 0
  bytes: Buffer = Buffer.alloc(0)

  constructor (file: BufferFile, to: number) {
    this.#file = file
    this.#to = to
  }

  covers (offset: number, length: number): boolean {
    return offset >= this.start && offset + length <= this.start + this.bytes.length
  }

  async load (offset: number, length: number): Promise<void> {
    const wanted = Math.min(Math.max(length, CHUNK_BYTES), this.#to - offset)
    const chunk = wanted > CHUNK_BYTES ? Buffer.allocUnsafe(wanted) : this.#chunk ??= Buffer.allocUnsafe(CHUNK_BYTES)
    const bytes = chunk.subarray(0, wanted)
    const filled = await readFully(this.#file, bytes, offset)
    // Somebody cut the file behind our back: zeros are damage, not records.
    bytes.fill(0, filled)
    this.start = offset
    this.bytes = bytes
  }
}
