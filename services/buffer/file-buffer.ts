import { basename, resolve } from 'node:path'
import { RegentError } from '../errors.ts'
import type { Log } from '../queue/types.ts'
import type { Catalog } from './catalog.ts'
import { HEADER_BYTES } from './file-header.ts'
import { nodeFileSystem } from './file-system.ts'
import type { BufferFileSystem } from './file-system.ts'
import { lockFolder } from './lock.ts'
import type { Lock } from './lock.ts'
import { MarkFile } from './mark.ts'
import { Quarantine } from './quarantine.ts'
import { Reader } from './reader.ts'
import type { Entry } from './reader.ts'
import { MAX_PAYLOAD_BYTES, RECORD_HEAD_BYTES } from './record.ts'
import { makeFolder, recover, unusable } from './recovery.ts'
import type { RecoveryReport } from './recovery.ts'
import { Removals } from './removals.ts'
import { Writer, faultText, reservedBytes, unavailable } from './writer.ts'

const RETRY_PAUSE_MS = 1000
// What may wait for a disk that does not answer.
const MAX_PENDING_BYTES = 64 * 1024 * 1024

export interface FileBufferOptions {
  /** Made when it is not there, for this user alone. On a disk that outlives the process, and of this machine. */
  directory: string
  /** Most bytes of all undrained files. */
  maxBytes: number
  /** A file that has reached one of these is followed by the next. Drained records give their space back with their file. */
  fileBytes: number
  fileRecords?: number
  /** How long nothing is tried after writing failed to a new file as well. */
  retryPauseMs?: number
  /** Bytes that may wait to be written. */
  maxPendingBytes?: number
  fs?: BufferFileSystem
  log: Log
  /** Wall clock, ms since 1970; for the age of records. */
  now?: () => number
  /** A clock that is never set, ms; for pauses. */
  uptimeMs?: () => number
  /** Called while opening, for each undrained record in order; the payload is a view that is valid until it returns. */
  onRecovered?: (record: { sequence: number, payload: Uint8Array }) => void
  /** Called after each change of the state. */
  onStateChange?: (state: BufferState, before: BufferState) => void
}

export const BUFFER_STATES = ['empty', 'buffering', 'full', 'unavailable'] as const

/**
 * `unavailable`: writing failed, also to a new file, and has not succeeded since. `full`: a record was refused for lack
 * of budget, and nothing was given back since.
 */
export type BufferState = typeof BUFFER_STATES[number]

export interface BufferStats {
  state: BufferState
  /** Undrained records, and the bytes of the files that hold them. */
  records: number
  bytes: number
  /** Age of the oldest undrained record; after a release and until the next peek it may be that of one before it. */
  oldestAgeMs: number | null
  /** Things in the quarantine: records, damaged stretches, files. */
  quarantined: number
}

/**
 * A log of opaque records in local files: durable before they are acknowledged, given back in order and at least once.
 * - An append that resolved is given back by peek until it is released or set aside, also after kill -9 or a power failure.
 * - One that rejected may be given back only when the process ends before anything else was appended. It can be repeated.
 * - A release that resolved is remembered, unless the log says that the mark cannot be written; otherwise records since
 *   the last mark are given again after a crash.
 * - Damage costs the records it hits, loudly, and no others. Nothing is deleted but what was drained or never acknowledged.
 */
export class FileBuffer {
  /** What opening found and did. */
  readonly recovery: RecoveryReport
  readonly #options: FileBufferOptions
  readonly #now: () => number
  readonly #catalog: Catalog
  readonly #quarantine: Quarantine
  readonly #mark: MarkFile
  readonly #removals: Removals
  readonly #lock: Lock
  readonly #writer: Writer
  readonly #reader: Reader
  #state: BufferState
  #isFull = false
  #isMarkFaulty = false
  #markedSequence: number
  #tidying: Promise<void> | null = null
  // Reading, setting aside and deleting go one after the other: no file vanishes under a reader.
  #turn: Promise<unknown> = Promise.resolve()
  #closed: Promise<void> | null = null

  private constructor (options: FileBufferOptions, parts: { fs: BufferFileSystem, directory: string, catalog: Catalog, report: RecoveryReport, quarantine: Quarantine, mark: MarkFile, removals: Removals, lock: Lock }) {
    const { fs, directory, catalog, quarantine, mark, removals, lock } = parts
    const { log, fileBytes, fileRecords = Infinity, now = Date.now, uptimeMs = () => performance.now(), retryPauseMs = RETRY_PAUSE_MS } = options
    this.recovery = parts.report
    this.#options = options
    this.#now = now
    this.#catalog = catalog
    this.#quarantine = quarantine
    this.#mark = mark
    this.#removals = removals
    this.#lock = lock
    this.#markedSequence = catalog.head.sequence
    this.#writer = new Writer({ fs, directory, catalog, removals, fileBytes, fileRecords, retryPauseMs, log, now, uptimeMs, onChange: () => { this.#changed() } })
    this.#reader = new Reader({ fs, catalog, quarantine, log })
    this.#state = this.#currentState()
  }

  /**
   * Locks the folder, repairs what a crash left, and returns the buffer; `recovery` says what was done.
   * @throws RegentError RGT_BUFFER_IN_USE when another process has the folder, RGT_BUFFER_UNUSABLE when it cannot be
   * read or locked; nothing is changed by an attempt that failed but what the log says
   */
  static async open (options: FileBufferOptions): Promise<FileBuffer> {
    const { fs = nodeFileSystem, log, maxBytes, fileBytes, onRecovered = () => {} } = options
    const smallest = HEADER_BYTES + RECORD_HEAD_BYTES
    if (!(maxBytes > smallest && fileBytes > smallest)) throw new RangeError(`maxBytes and fileBytes must be above ${smallest}`)
    const directory = resolve(options.directory)
    let lock: Lock | undefined
    try {
      await makeFolder(fs, directory)
      lock = await lockFolder(fs, directory)
      const quarantine = await Quarantine.open(fs, directory)
      const mark = new MarkFile(fs, directory)
      const removals = new Removals(fs, directory, log)
      const { catalog, report } = await recover({ fs, directory, quarantine, mark, removals, log, onRecord: onRecovered })
      return new FileBuffer(options, { fs, directory, catalog, report, quarantine, mark, removals, lock })
    } catch (error) {
      await lock?.release()
      throw unusable(directory, error)
    }
  }

  /** Cheap. */
  get stats (): BufferStats {
    const { records, bytes, oldestMs } = this.#catalog
    return {
      state: this.#state,
      records,
      bytes,
      oldestAgeMs: oldestMs === null ? null : Math.max(0, this.#now() - oldestMs),
      quarantined: this.#quarantine.count
    }
  }

  /** Largest payload an append takes. */
  get maxPayloadBytes (): number {
    return Math.min(MAX_PAYLOAD_BYTES, this.#options.maxBytes - HEADER_BYTES - RECORD_HEAD_BYTES)
  }

  /**
   * Appends a record; resolves when it is durable. Records get ascending sequence numbers in the order of the calls.
   * @param payload must not be changed until then
   * @throws RegentError RGT_BUFFER_FULL, RGT_BUFFER_UNAVAILABLE, RGT_OVERLOADED (the disk is behind), all to be repeated
   * later; RGT_BUFFER_RECORD_TOO_LARGE; RGT_SHUTTING_DOWN
   */
  async append (payload: Uint8Array): Promise<{ sequence: number }> {
    if (this.#closed !== null) throw new RegentError('RGT_SHUTTING_DOWN')
    if (payload.length > this.maxPayloadBytes) throw new RegentError('RGT_BUFFER_RECORD_TOO_LARGE', { detail: String(this.maxPayloadBytes) })
    const { pendingBytes } = this.#writer
    const bytes = reservedBytes(payload)
    if (this.#catalog.bytes + pendingBytes + bytes > this.#options.maxBytes) {
      this.#isFull = true
      this.#changed()
      throw new RegentError('RGT_BUFFER_FULL')
    }
    if (pendingBytes > 0 && pendingBytes + bytes > (this.#options.maxPendingBytes ?? MAX_PENDING_BYTES)) throw new RegentError('RGT_OVERLOADED')
    return { sequence: await this.#writer.append(payload) }
  }

  /**
   * The oldest records that are not released, in order; the same ones again until they are.
   * @param limits.maxBytes of payloads; one record is returned even when it has more
   * @throws RegentError RGT_BUFFER_UNAVAILABLE when a file cannot be read, RGT_SHUTTING_DOWN
   */
  async peek ({ maxRecords, maxBytes }: { maxRecords: number, maxBytes: number }): Promise<Entry[]> {
    return await this.#inTurn(async () => {
      try {
        return await this.#reader.peek(maxRecords, maxBytes)
      } catch (error) {
        this.#options.log.error({ err: error }, 'the file buffer cannot be read')
        throw unavailable(faultText(error), error)
      } finally {
        // It may have passed over damaged records, the last of a file.
        this.#changed()
        this.#tidyLater()
      }
    })
  }

  /**
   * Says that everything up to this record is drained. Takes effect at once; resolves when it will be remembered, as
   * far as the disk lets it. Never rejects because of the disk: what is forgotten is replayed.
   * @throws RangeError for a record that no peek has returned yet
   */
  async release (sequence: number): Promise<void> {
    this.#reader.release(sequence)
    this.#changed()
    this.#tidyLater()
    await this.#tidying
  }

  /**
   * Moves one record, which peek has returned, to the quarantine; the others go on. It is safe there when this resolves.
   * @param reason short text for its reason file
   * @throws RegentError RGT_BUFFER_UNAVAILABLE when it cannot be copied: it then stays where it is. RangeError when no
   * peek has returned it
   */
  async setAside (sequence: number, reason: string): Promise<void> {
    await this.#inTurn(async () => {
      try {
        await this.#reader.setAside(sequence, reason)
      } catch (error) {
        if (error instanceof RangeError) throw error
        throw unavailable(faultText(error), error)
      } finally {
        this.#changed()
        this.#tidyLater()
      }
    })
    await this.#tidying
  }

  /** Finishes what was taken, remembers what was released, gives the folder free. Never rejects; may be called again. */
  async close (): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close (): Promise<void> {
    await this.#writer.close()
    await this.#turn
    await this.#tidy()
    await this.#mark.close().catch((error: unknown) => { this.#options.log.warn({ err: error }, 'the mark of the file buffer was not closed well') })
    await this.#lock.release()
  }

  async #inTurn<T> (action: () => Promise<T>): Promise<T> {
    if (this.#closed !== null) throw new RegentError('RGT_SHUTTING_DOWN')
    const result = this.#turn.then(action)
    this.#turn = result.catch(() => {})
    return await result
  }

  // Soon, and once for all that ask until it begins.
  #tidyLater (): void {
    if (this.#closed !== null || this.#tidying !== null || !this.#isTidyingDue()) return
    this.#tidying = this.#inTurn(async () => {
      this.#tidying = null
      await this.#tidy()
    })
  }

  #isTidyingDue (): boolean {
    const { head, files: [first] } = this.#catalog
    return head.sequence > this.#markedSequence || (first !== undefined && this.#catalog.isDrained(first))
  }

  // Remembers how far the log is drained and deletes the files that are. Never throws.
  async #tidy (): Promise<void> {
    const { files: [first] } = this.#catalog
    if (first !== undefined && this.#catalog.isDrained(first)) await this.#writer.sealDrained()
    await this.#writeMark()
    const drained = this.#catalog.takeDrained()
    for (const { path, isToBeKept } of drained) {
      if (isToBeKept) await this.#keepFile(path)
      else this.#removals.add(path)
    }
    if (drained.length > 0) this.#isFull = false
    await this.#removals.run()
    this.#changed()
  }

  async #writeMark (): Promise<void> {
    const { sequence, fileNumber } = this.#catalog.head
    if (sequence === this.#markedSequence) return
    try {
      await this.#mark.write({ sequence, fileNumber })
      this.#markedSequence = sequence
      this.#isMarkFaulty = false
    } catch (error) {
      // Once: it is tried with every release.
      if (!this.#isMarkFaulty) this.#options.log.error({ err: error, file: this.#mark.path }, 'the mark of the file buffer cannot be written; a restart replays what was drained since')
      this.#isMarkFaulty = true
    }
  }

  async #keepFile (path: string): Promise<void> {
    try {
      await this.#quarantine.moveFile(path, { reason: 'drained, but for damaged records', file: path })
      this.#options.log.error({ file: basename(path), folder: this.#quarantine.folder }, 'a file of the file buffer with damaged records was set aside')
    } catch (error) {
      this.#options.log.error({ file: path, err: error }, 'a drained file of the file buffer with damaged records cannot be set aside; it stays')
    }
  }

  #currentState (): BufferState {
    if (this.#writer.isUnavailable) return 'unavailable'
    if (this.#isFull) return 'full'
    return this.#catalog.records > 0 ? 'buffering' : 'empty'
  }

  #changed (): void {
    // With no file left, all that can be given back has been.
    if (this.#catalog.files.length === 0 && this.#writer.pendingBytes === 0) this.#isFull = false
    const before = this.#state
    this.#state = this.#currentState()
    if (this.#state === before) return
    try {
      this.#options.onStateChange?.(this.#state, before)
    } catch (error) {
      this.#options.log.error({ err: error }, 'a listener to the state of the file buffer failed')
    }
  }
}
