import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { RegentError } from '../errors.ts'
import type { Log } from '../queue/types.ts'
import { logFileName } from './catalog.ts'
import type { Catalog, LogFile } from './catalog.ts'
import { HEADER_BYTES, encodeHeader } from './file-header.ts'
import { syncFolder, systemCode } from './file-system.ts'
import type { BufferFile, BufferFileSystem } from './file-system.ts'
import { RECORD_HEAD_BYTES, encodeHead } from './record.ts'
import type { Removals } from './removals.ts'

// A group is one system call: the kernel takes 1024 pieces, two to a record and one for the header of a file.
const MAX_GROUP_RECORDS = 511
const MAX_GROUP_BYTES = 8 * 1024 * 1024
// The second failure in a row is of a new file: then it is the disk, not the file.
const FAILURES_TO_REST = 2

export interface WriterOptions {
  fs: BufferFileSystem
  directory: string
  catalog: Catalog
  removals: Removals
  fileBytes: number
  fileRecords: number
  retryPauseMs: number
  log: Log
  /** Wall clock, ms since 1970. */
  now: () => number
  /** A clock that is never set, in ms. */
  uptimeMs: () => number
  /** Called when records were added, or whether it can write may have changed. */
  onChange: () => void
}

interface Waiting {
  payload: Uint8Array
  resolve: (sequence: number) => void
  reject: (error: RegentError) => void
}

interface ActiveFile {
  file: LogFile
  handle: BufferFile
  createdMs: number
}

/**
 * Appends records. While a group is being written and made durable, further records gather; they are the next group.
 * After a failure nothing more is written to that file: what the kernel dropped of it cannot be known. The group goes to a
 * new one, which begins with the same sequence number, and so makes void what may have been left of it in the old.
 */
export class Writer {
  readonly #options: WriterOptions
  #waiting: Waiting[] = []
  #pendingBytes = 0
  #active: ActiveFile | null = null
  #failures = 0
  #restUntilMs = 0
  #lastFault = ''
  #running: Promise<void> | null = null
  // One at a time touches the active file.
  #turn: Promise<void> = Promise.resolve()

  constructor (options: WriterOptions) {
    this.#options = options
  }

  /** The most that what waits will take of the disk. */
  get pendingBytes (): number {
    return this.#pendingBytes
  }

  /** Writing failed, also to a new file, and nothing was written since. */
  get isUnavailable (): boolean {
    return this.#failures >= FAILURES_TO_REST
  }

  /**
   * Appends a record; resolves to its sequence number when it is durable.
   * @param payload must not be changed until then
   * @throws RegentError RGT_BUFFER_UNAVAILABLE when it could not be made durable, at once for a while after two failures
   */
  async append (payload: Uint8Array): Promise<number> {
    if (this.isUnavailable && this.#options.uptimeMs() < this.#restUntilMs) throw unavailable(this.#lastFault)
    return await new Promise<number>((resolve, reject) => {
      this.#waiting.push({ payload, resolve, reject })
      this.#pendingBytes += reservedBytes(payload)
      this.#running ??= this.#run()
    })
  }

  /** Ends the file that is written to, when all of it is drained and nothing waits to be added. */
  async sealDrained (): Promise<void> {
    await this.#inTurn(async () => {
      const active = this.#active
      if (active !== null && this.#waiting.length === 0 && this.#options.catalog.isDrained(active.file)) await this.#seal(active)
    })
  }

  /** Writes what waits and closes the file. New records must no longer be given. */
  async close (): Promise<void> {
    await this.#running
    await this.#inTurn(async () => { if (this.#active !== null) await this.#seal(this.#active) })
  }

  async #run (): Promise<void> {
    // After the current turn of the event loop: requests that arrived in the same read are one group.
    await nextTurn()
    while (this.#waiting.length > 0) await this.#inTurn(async () => { await this.#writeGroup() })
    this.#running = null
  }

  async #inTurn (action: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(action)
    await this.#turn
  }

  // Never throws: every failure is answered to those it concerns.
  async #writeGroup (): Promise<void> {
    const { catalog, now, onChange } = this.#options
    const { group, bytes } = this.#takeGroup()
    const first = catalog.nextSequence
    let isOver = false
    while (!isOver) {
      try {
        await this.#write(group, bytes)
        isOver = true
        this.#failures = 0
        catalog.records += group.length
        catalog.oldestMs ??= now()
        for (const [i, { resolve }] of group.entries()) resolve(first + i)
      } catch (error) {
        await this.#abandonFile(group, error)
        // Once more, to a new file.
        isOver = this.isUnavailable
        if (isOver) this.#rest(group, error)
      }
    }
    for (const { payload } of group) this.#pendingBytes -= reservedBytes(payload)
    onChange()
  }

  // At least one record; not more than fit a file, a system call and a reasonable write.
  #takeGroup (): { group: Waiting[], bytes: number } {
    const most = Math.min(MAX_GROUP_BYTES, this.#options.fileBytes - HEADER_BYTES)
    let bytes = 0
    let count = 0
    for (const { payload } of this.#waiting) {
      const size = RECORD_HEAD_BYTES + payload.length
      if (count > 0 && (bytes + size > most || count === MAX_GROUP_RECORDS)) break
      bytes += size
      count++
    }
    return { group: this.#waiting.splice(0, count), bytes }
  }

  async #write (group: Waiting[], bytes: number): Promise<void> {
    const { fs, directory, catalog, now } = this.#options
    if (this.#active !== null && this.#isFull(this.#active.file, bytes)) await this.#seal(this.#active)
    const { file, handle, createdMs } = this.#active ??= await this.#begin()
    const isNew = file.bytes === 0
    const pieces: Uint8Array[] = []
    if (isNew) pieces.push(encodeHeader({ ...file, createdMs }))
    const timeMs = now()
    for (const [i, { payload }] of group.entries()) pieces.push(encodeHead(catalog.nextSequence + i, timeMs, payload, file.salt), payload)
    const total = bytes + (isNew ? HEADER_BYTES : 0)
    const { bytesWritten } = await handle.writev(pieces, file.bytes)
    if (bytesWritten !== total) throw new Error(`only ${bytesWritten} of ${total} bytes were written`)
    await handle.datasync()
    if (isNew) {
      await syncFolder(fs, directory)
      catalog.files.push(file)
    }
    // In one go, as readers look at both.
    file.bytes += total
    catalog.nextSequence += group.length
    file.lastSequence = catalog.nextSequence - 1
  }

  // A group is never torn in two: a file may get some records more than it should have.
  #isFull (file: LogFile, bytes: number): boolean {
    const { fileBytes, fileRecords } = this.#options
    return file.bytes + bytes > fileBytes || file.lastSequence - file.firstSequence + 1 >= fileRecords
  }

  async #begin (): Promise<ActiveFile> {
    const { fs, directory, catalog, removals, now } = this.#options
    // What failed before may take the space that is now needed.
    await removals.run()
    const number = catalog.nextFileNumber++
    const path = join(directory, logFileName(number))
    const handle = await fs.open(path, 'wx', 0o600)
    const file: LogFile = {
      number,
      path,
      salt: randomInt(2 ** 32),
      firstSequence: catalog.nextSequence,
      lastSequence: catalog.nextSequence - 1,
      bytes: 0,
      isSealed: false,
      damagedAt: new Set(),
      isToBeKept: false
    }
    return { file, handle, createdMs: now() }
  }

  async #seal (active: ActiveFile): Promise<void> {
    this.#active = null
    active.file.isSealed = true
    // What it holds is durable already.
    await active.handle.close().catch((error: unknown) => {
      this.#options.log.warn({ err: error, file: active.file.path }, 'a file of the file buffer was not closed well')
    })
  }

  async #abandonFile (group: Waiting[], error: unknown): Promise<void> {
    const { log, removals } = this.#options
    const active = this.#active
    this.#failures++
    log.error({ err: error, file: active?.file.path, records: group.length }, 'writing to a file of the file buffer failed; nothing more is written to it')
    if (active !== null) {
      const { file, handle } = active
      // Best effort. Should it stay: the next file begins with the same sequence number, which says that this is void.
      await handle.truncate(file.bytes).catch((fault: unknown) => {
        log.warn({ err: fault, file: file.path, bytes: file.bytes }, 'what failed to be written cannot be cut off now')
      })
      await this.#seal(active)
      if (file.bytes === 0) {
        removals.add(file.path)
        await removals.run()
      }
    }
  }

  /** It is the disk, not the file: nothing that was to be written was, and nothing is tried for a while. */
  #rest (group: Waiting[], error: unknown): void {
    const { uptimeMs, retryPauseMs } = this.#options
    this.#lastFault = faultText(error)
    this.#restUntilMs = uptimeMs() + retryPauseMs
    for (const { payload } of this.#waiting) this.#pendingBytes -= reservedBytes(payload)
    for (const { reject } of [...group, ...this.#waiting.splice(0)]) reject(unavailable(this.#lastFault, error))
  }
}

/** What a record may take of the disk, at most: it may be the first of a new file. */
export function reservedBytes (payload: Uint8Array): number {
  return HEADER_BYTES + RECORD_HEAD_BYTES + payload.length
}

/** The error for a fault of the disk. */
export function unavailable (detail: string, cause?: unknown): RegentError {
  return new RegentError('RGT_BUFFER_UNAVAILABLE', cause === undefined ? { detail } : { detail, cause })
}

/** A fault in a word. */
export function faultText (error: unknown): string {
  return systemCode(error) ?? (error instanceof Error ? error.message : String(error))
}
