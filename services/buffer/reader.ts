import { crc32 } from 'node:zlib'
import type { Log } from '../queue/types.ts'
import type { Catalog, LogFile } from './catalog.ts'
import { HEADER_BYTES } from './file-header.ts'
import type { BufferFile, BufferFileSystem } from './file-system.ts'
import type { Quarantine } from './quarantine.ts'
import { keepDamage } from './damage.ts'
import { scan } from './scan.ts'
import type { Piece } from './scan.ts'

/** A record as it was appended. */
export interface Entry {
  sequence: number
  payload: Buffer
  /** When it was written, ms since 1970 by the wall clock of then. */
  timeMs: number
}

// A record that was read and is not released yet.
interface Seen {
  sequence: number
  timeMs: number
  file: LogFile
  offset: number
  end: number
}

export interface ReaderOptions {
  fs: BufferFileSystem
  catalog: Catalog
  quarantine: Quarantine
  log: Log
}

/** Reads the oldest undrained records and moves the place up to which the log is drained. One call at a time, but for release. */
export class Reader {
  readonly #options: ReaderOptions
  // From the head on without a hole; as many as the largest peek asked for.
  #seen: Seen[] = []
  // Those of them that were set aside.
  readonly #aside = new Set<number>()

  constructor (options: ReaderOptions) {
    this.#options = options
  }

  /** The oldest undrained records; at least one if there is any, whatever `maxBytes` (of payloads) says. */
  async peek (maxRecords: number, maxBytes: number): Promise<Entry[]> {
    const { catalog } = this.#options
    const seen: Seen[] = []
    const entries: Entry[] = []
    let bytes = 0
    // Files may be added meanwhile; what they hold is for the next call.
    for (const file of catalog.files.filter(file => file.number >= catalog.head.fileNumber)) {
      const isFull = await this.#read(file, piece => {
        if (entries.length >= maxRecords) return true
        if (!this.#aside.has(piece.sequence)) {
          if (entries.length > 0 && bytes + piece.payload.length > maxBytes) return true
          bytes += piece.payload.length
          // A copy: the view is of a chunk that is used again.
          entries.push({ sequence: piece.sequence, payload: Buffer.from(piece.payload), timeMs: piece.timeMs })
        }
        seen.push({ sequence: piece.sequence, timeMs: piece.timeMs, file, offset: piece.offset, end: piece.end })
        return false
      }, () => seen.length === 0)
      if (isFull) break
    }
    this.#remember(seen)
    return entries.filter(({ sequence }) => sequence > catalog.head.sequence)
  }

  /**
   * Counts everything up to this record as drained.
   * @throws RangeError for a record that no peek has returned yet
   */
  release (sequence: number): void {
    const { catalog } = this.#options
    if (sequence <= catalog.head.sequence) return
    const last = this.#seen.at(-1)
    if (last === undefined || sequence > last.sequence) throw new RangeError(`record ${sequence} was not read yet`)
    this.#advance(sequence)
  }

  /**
   * Copies a record to the quarantine, durably, and leaves it out from then on.
   * @throws RangeError for a record that no peek has returned yet; what the file system throws
   */
  async setAside (sequence: number, reason: string): Promise<void> {
    const { fs, catalog, quarantine, log } = this.#options
    if (sequence <= catalog.head.sequence || this.#aside.has(sequence)) return
    const seen = this.#seen.find(record => record.sequence === sequence)
    if (seen === undefined) throw new RangeError(`record ${sequence} was not read yet`)
    const handle = await fs.open(seen.file.path, 'r')
    try {
      for await (const [piece] of scan({ file: handle, from: seen.offset, to: seen.end, salt: seen.file.salt, sequence, limit: sequence + 1 })) {
        // Damaged since it was read: the next peek finds it.
        if (piece?.kind !== 'record') return
        const name = `record-${String(sequence).padStart(16, '0')}-${crc32(piece.payload).toString(16).padStart(8, '0')}`
        await quarantine.keepBytes(name, piece.payload, {
          reason, sequence, timeMs: seen.timeMs, payloadBytes: piece.payload.length, file: seen.file.path, offset: seen.offset
        })
      }
    } finally {
      await close(handle)
    }
    log.error({ sequence, reason, folder: quarantine.folder }, 'a record of the file buffer was set aside')
    // Released while it was copied: it is counted already.
    if (sequence <= catalog.head.sequence) return
    this.#aside.add(sequence)
    catalog.records--
    this.#advance(catalog.head.sequence)
  }

  // Gives the records of a file to `take`, from the head on, until it returns true; resolves to whether it did.
  async #read (file: LogFile, take: (record: Piece & { kind: 'record' }) => boolean, isAtHead: () => boolean): Promise<boolean> {
    const { fs, catalog } = this.#options
    const { head } = catalog
    const from = file.number === head.fileNumber ? Math.max(head.offset, HEADER_BYTES) : HEADER_BYTES
    const to = file.bytes
    const last = file.lastSequence
    if (from >= to) return false
    const sequence = Math.max(head.sequence + 1, file.firstSequence)
    const handle = await fs.open(file.path, 'r')
    try {
      for await (const pieces of scan({ file: handle, from, to, salt: file.salt, sequence, limit: last + 1 })) {
        for (const piece of pieces) {
          if (piece.kind === 'damage') await this.#skip(file, handle, piece, last, isAtHead())
          else if (take(piece)) return true
        }
      }
    } finally {
      await close(handle)
    }
    return false
  }

  async #skip (file: LogFile, handle: BufferFile, piece: Piece & { kind: 'damage' }, last: number, isAtHead: boolean): Promise<void> {
    const { catalog, quarantine, log } = this.#options
    const next = piece.nextSequence ?? last + 1
    if (!file.damagedAt.has(piece.offset)) {
      await keepDamage({ quarantine, log, file, handle, piece, missing: next - piece.sequence })
      catalog.records -= next - piece.sequence
    }
    // Unless more was appended meanwhile.
    if (piece.nextSequence === null && file.lastSequence === last) file.lastSequence = piece.sequence - 1
    // Nobody will release what cannot be read.
    if (isAtHead && next - 1 > catalog.head.sequence) catalog.head = { sequence: next - 1, fileNumber: file.number, offset: piece.end }
  }

  #remember (seen: Seen[]): void {
    const { catalog } = this.#options
    const current = seen.filter(({ sequence }) => sequence > catalog.head.sequence)
    const first = current[0]
    if (first !== undefined) catalog.oldestMs = first.timeMs
    else if (catalog.records === 0) catalog.oldestMs = null
    if ((current.at(-1)?.sequence ?? 0) > (this.#seen.at(-1)?.sequence ?? 0)) this.#seen = current
  }

  // The head goes behind this record and those set aside that follow it.
  #advance (sequence: number): void {
    const { catalog } = this.#options
    let last: Seen | undefined
    let count = 0
    for (const record of this.#seen) {
      const isAside = this.#aside.delete(record.sequence)
      if (record.sequence > sequence && !isAside) break
      if (!isAside) catalog.records--
      last = record
      count++
    }
    if (last === undefined) return
    this.#seen.splice(0, count)
    catalog.head = { sequence: last.sequence, fileNumber: last.file.number, offset: last.end }
    catalog.oldestMs = catalog.records === 0 ? null : this.#seen[0]?.timeMs ?? last.timeMs
  }
}

// Reading is done; a file opened for reading has nothing to lose.
async function close (handle: BufferFile): Promise<void> {
  await handle.close().catch(() => {})
}
