import { basename, dirname, join } from 'node:path'
import { RegentError } from '../errors.ts'
import type { Log } from '../queue/types.ts'
import { Catalog, logFileNumber } from './catalog.ts'
import type { LogFile } from './catalog.ts'
import { keepDamage } from './damage.ts'
import { HEADER_BYTES, decodeHeader } from './file-header.ts'
import type { FileHeader } from './file-header.ts'
import { readFully, syncFolder, systemCode } from './file-system.ts'
import type { BufferFile, BufferFileSystem } from './file-system.ts'
import type { MarkFile } from './mark.ts'
import type { Quarantine } from './quarantine.ts'
import { RECORD_HEAD_BYTES } from './record.ts'
import type { Removals } from './removals.ts'
import { scan } from './scan.ts'
import type { Piece } from './scan.ts'

/** What opening a folder found and did. */
export interface RecoveryReport {
  /** Undrained records and the files that hold them. */
  records: number
  files: number
  /** Bytes cut off at the end of the last file: a write that a crash interrupted. A copy is in the quarantine. */
  tornBytes: number
  /** Bytes cut off that are of writes which failed, and were not acknowledged. */
  voidBytes: number
  /** Stretches of damaged bytes that were set aside. */
  damaged: number
  /** Names of files that were set aside as a whole. */
  filesSetAside: string[]
  /** Acknowledged records that should be there and cannot be read, as far as sequence numbers tell. */
  missingRecords: number
}

export interface RecoveryOptions {
  fs: BufferFileSystem
  directory: string
  quarantine: Quarantine
  mark: MarkFile
  removals: Removals
  log: Log
  /** Called for each undrained record of a file that can be read, in order. The payload is a view. */
  onRecord: (record: { sequence: number, payload: Uint8Array }) => void
}

interface FoundFile {
  path: string
  header: FileHeader
  sizeBytes: number
}

/**
 * Looks through the files of a folder, which must be locked. Reads each byte that is not drained, one chunk at a time.
 * What it cannot set aside, for lack of space, stays where it is.
 * @throws what the file system throws when the folder, or a file for a reason other than its disk block, cannot be read
 */
export async function recover (options: RecoveryOptions): Promise<{ catalog: Catalog, report: RecoveryReport }> {
  return await new Recovery(options).run()
}

class Recovery {
  readonly #options: RecoveryOptions
  readonly #report: RecoveryReport = { records: 0, files: 0, tornBytes: 0, voidBytes: 0, damaged: 0, filesSetAside: [], missingRecords: 0 }
  // Sequence numbers left out after the last file that can be read.
  #gap = 0
  readonly #catalog = new Catalog({ files: [], head: { sequence: 0, fileNumber: 0, offset: 0 }, nextSequence: 1, nextFileNumber: 1, records: 0, oldestMs: null })

  constructor (options: RecoveryOptions) {
    this.#options = options
  }

  async run (): Promise<{ catalog: Catalog, report: RecoveryReport }> {
    const { removals } = this.#options
    const catalog = this.#catalog
    await this.#readMark()
    const found = await this.#findFiles()
    this.#checkFront(found[0])
    for (const [i, { path, header, sizeBytes }] of found.entries()) {
      const file: LogFile = {
        number: header.number,
        path,
        salt: header.salt,
        firstSequence: header.firstSequence,
        lastSequence: header.firstSequence - 1,
        bytes: HEADER_BYTES,
        isSealed: true,
        damagedAt: new Set(),
        isToBeKept: false
      }
      const limit = found[i + 1]?.header.firstSequence ?? Infinity
      // Drained as a whole: a crash came before its deletion.
      const isKnown = limit - 1 <= catalog.head.sequence || await this.#readFile(file, sizeBytes, limit)
      if (isKnown) catalog.files.push(file)
      else this.#gap = limit === Infinity ? Math.ceil(sizeBytes / RECORD_HEAD_BYTES) : this.#gap
      catalog.nextSequence = Math.max(catalog.nextSequence, file.lastSequence + 1, limit === Infinity ? 0 : limit)
    }
    catalog.nextSequence += this.#gap
    for (const file of catalog.takeDrained()) {
      if (file.isToBeKept) await this.#setFileAside(file.path, 'drained, but for damaged records')
      else removals.add(file.path)
    }
    await removals.run()
    this.#report.records = catalog.records
    this.#report.files = catalog.files.length
    return { catalog, report: this.#report }
  }

  async #readMark (): Promise<void> {
    const { mark } = this.#options
    const state = await mark.read()
    // Replaying what was drained does no harm.
    if (state === null) await this.#setFileAside(mark.path, 'no mark in it is whole; the log is replayed from its beginning')
    if (state == null) return
    this.#catalog.head = { ...state, offset: 0 }
    this.#catalog.nextSequence = state.sequence + 1
    this.#catalog.nextFileNumber = state.fileNumber + 1
  }

  // The files that can be read, in order. The others are set aside, or stay when that fails.
  async #findFiles (): Promise<FoundFile[]> {
    const { fs, directory } = this.#options
    const names = await fs.readdir(directory)
    const numbered = names.flatMap(name => {
      const number = logFileNumber(name)
      return number === null ? [] : [{ name, number }]
    }).sort((a, b) => a.number - b.number)
    const found: FoundFile[] = []
    let unreadableBytes = 0
    for (const { name, number } of numbered) {
      this.#catalog.nextFileNumber = Math.max(this.#catalog.nextFileNumber, number + 1)
      const path = join(directory, name)
      const { header, sizeBytes } = await this.#readHeader(path)
      if (header === null) {
        this.#discard(path, sizeBytes)
        continue
      }
      const before = found.at(-1)?.header.firstSequence ?? 0
      const fault = typeof header === 'string'
        ? header
        : header.number !== number
          ? `its header says that it is file ${header.number}`
          : header.firstSequence < before ? 'its records are older than those of the file before it' : null
      if (typeof header === 'string' || fault !== null) {
        unreadableBytes += sizeBytes
        await this.#setFileAside(path, fault ?? '')
        continue
      }
      unreadableBytes = 0
      found.push({ path, header, sizeBytes })
    }
    // The numbers that the last ones may have are not given again, so that they can be put back some day.
    this.#gap = Math.ceil(unreadableBytes / RECORD_HEAD_BYTES)
    return found
  }

  async #readHeader (path: string): Promise<{ header: FileHeader | string | null, sizeBytes: number }> {
    const file = await this.#options.fs.open(path, 'r')
    try {
      const sizeBytes = (await file.stat()).size
      const bytes = Buffer.alloc(HEADER_BYTES)
      try {
        const filled = await readFully(file, bytes, 0)
        return { header: filled < HEADER_BYTES ? null : decodeHeader(bytes), sizeBytes }
      } catch (error) {
        if (systemCode(error) !== 'EIO') throw error
        return { header: 'its header cannot be read from the disk', sizeBytes }
      }
    } finally {
      await file.close()
    }
  }

  // Shorter than a header: no record of it was ever acknowledged, or all of it is gone.
  #discard (path: string, sizeBytes: number): void {
    this.#options.log.warn({ file: path, bytes: sizeBytes }, 'a file of the file buffer that was only begun is deleted')
    this.#options.removals.add(path)
  }

  // Resolves to whether it could be read; if not, it is set aside.
  async #readFile (file: LogFile, sizeBytes: number, limit: number): Promise<boolean> {
    const catalog = this.#catalog
    const { records, oldestMs } = catalog
    const handle = await this.#options.fs.open(file.path, 'r')
    let expected = file.firstSequence
    try {
      const pieces = scan({ file: handle, from: HEADER_BYTES, to: sizeBytes, salt: file.salt, sequence: expected, limit })
      for await (const batch of pieces) {
        for (const piece of batch) {
          if (piece.kind === 'damage') {
            if (piece.nextSequence === null) await this.#endAt(file, handle, piece, limit)
            else await this.#damage(file, handle, piece, piece.nextSequence)
            expected = piece.nextSequence ?? limit
          } else {
            if (piece.missing > 0) this.#missing(file, expected, piece.sequence)
            this.#count(file, piece)
            expected = piece.sequence + 1
          }
        }
      }
      // Cut short between two records.
      if (limit !== Infinity && expected < limit) this.#missing(file, expected, limit)
      return true
    } catch (error) {
      if (systemCode(error) !== 'EIO') throw error
      catalog.records = records
      catalog.oldestMs = oldestMs
      file.lastSequence = file.firstSequence - 1
      await this.#setFileAside(file.path, 'it cannot be read from the disk')
      return false
    } finally {
      await handle.close()
    }
  }

  #count (file: LogFile, { sequence, timeMs, end, payload }: Piece & { kind: 'record' }): void {
    const catalog = this.#catalog
    file.bytes = end
    file.lastSequence = sequence
    if (sequence > catalog.head.sequence) {
      catalog.records++
      catalog.oldestMs ??= timeMs
      this.#options.onRecord({ sequence, payload })
    } else {
      catalog.head = { ...catalog.head, fileNumber: file.number, offset: end }
    }
  }

  async #damage (file: LogFile, handle: BufferFile, piece: Piece & { kind: 'damage' }, nextSequence: number): Promise<void> {
    const missing = this.#undrained(piece.sequence, nextSequence)
    file.damagedAt.add(piece.offset)
    file.bytes = piece.end
    if (missing === 0) return
    const { quarantine, log } = this.#options
    this.#report.damaged++
    this.#report.missingRecords += missing
    await keepDamage({ quarantine, log, file, handle, piece, missing })
  }

  // Nothing can be read from here to the end of the file.
  async #endAt (file: LogFile, handle: BufferFile, piece: Piece & { kind: 'damage' }, limit: number): Promise<void> {
    const { quarantine, log } = this.#options
    const { offset, end } = piece
    file.bytes = offset
    if (piece.sequence >= limit) {
      this.#report.voidBytes += end - offset
      log.info({ file: file.path, offset, bytes: end - offset }, 'what failed to be written to the file buffer is cut off')
      await this.#cut(file.path, offset)
    } else if (limit !== Infinity) {
      await this.#damage(file, handle, piece, limit)
      file.bytes = offset
    } else {
      const about = { file: file.path, offset, bytes: end - offset }
      this.#report.tornBytes += end - offset
      log.warn(about, 'the file buffer was interrupted while writing; the torn end of its last file is cut off')
      try {
        await quarantine.keepPart(`${basename(file.path)}.${offset}.torn`, handle, offset, end, { reason: 'torn end of the last file', ...about })
        await this.#cut(file.path, offset)
      } catch (error) {
        file.isToBeKept = true
        log.warn({ ...about, err: error }, 'the torn end cannot be copied now; it stays and is not read')
      }
    }
  }

  async #cut (path: string, bytes: number): Promise<void> {
    try {
      const file = await this.#options.fs.open(path, 'r+')
      try {
        await file.truncate(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (error) {
      this.#options.log.warn({ err: error, file: path, bytes }, 'the end of a file of the file buffer cannot be cut off now; it is not read')
    }
  }

  #checkFront (first: FoundFile | undefined): void {
    const { head } = this.#catalog
    if (first !== undefined && head.sequence > 0 && first.header.firstSequence > head.sequence + 1) {
      this.#options.log.warn({ file: first.path, firstSequence: head.sequence + 1, records: first.header.firstSequence - head.sequence - 1 },
        'the file buffer begins later than its mark: files were deleted that were drained, or by hand')
    }
  }

  #missing (file: LogFile, sequence: number, nextSequence: number): void {
    const records = this.#undrained(sequence, nextSequence)
    if (records === 0) return
    this.#report.missingRecords += records
    this.#options.log.error({ file: file.path, firstSequence: sequence, records }, 'records of the file buffer are missing')
  }

  // How many of the sequence numbers from the first to before the next are not drained.
  #undrained (sequence: number, nextSequence: number): number {
    return Math.max(0, nextSequence - Math.max(sequence, this.#catalog.head.sequence + 1))
  }

  async #setFileAside (path: string, reason: string): Promise<void> {
    const { quarantine, log } = this.#options
    this.#report.filesSetAside.push(basename(path))
    try {
      await quarantine.moveFile(path, { reason, file: path })
      log.error({ file: path, reason, folder: quarantine.folder }, 'a file of the file buffer was set aside')
    } catch (error) {
      log.error({ file: path, reason, err: error }, 'a file of the file buffer cannot be set aside now; it stays and is not read')
    }
  }
}

/** Makes the folder, so that it survives a power failure. */
export async function makeFolder (fs: BufferFileSystem, directory: string): Promise<void> {
  const made = await fs.mkdir(directory, { recursive: true, mode: 0o700 })
  if (made === undefined) return
  for (let folder = directory; folder.length >= made.length; folder = dirname(folder)) await syncFolder(fs, dirname(folder))
}

/** The error of a folder that cannot be used, unless it is one of ours already. */
export function unusable (directory: string, error: unknown): RegentError {
  if (error instanceof RegentError) return error
  return new RegentError('RGT_BUFFER_UNUSABLE', { detail: `${directory}: ${error instanceof Error ? error.message : String(error)}`, cause: error })
}
