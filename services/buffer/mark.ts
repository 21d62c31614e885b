import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { readFully, syncFolder, systemCode, writeWhole } from './file-system.ts'
import type { BufferFile, BufferFileSystem } from './file-system.ts'

/**
 * The file `drained.mark` says up to which record the log is drained. Two slots are written in turn, in place: a torn
 * write spoils one and leaves the mark before it, and a full disk does not matter.
 * A slot, little-endian: magic u32, format version u32, sequence u64, file number u32, CRC-32 of these 20 bytes u32.
 */
export const MARK_NAME = 'drained.mark'

const MAGIC = 0x4b524d52
const VERSION = 1
const SLOT_BYTES = 24
const CHECKED_BYTES = 20
// Each slot has a disk block for itself.
const SLOT_SPACING = 4096

export interface Mark {
  /** Of the last drained record; 0 when there is none. */
  sequence: number
  /** Of the file that held it: new files get higher ones, also when all are deleted. */
  fileNumber: number
}

/** Reads and writes the mark; one call at a time. */
export class MarkFile {
  readonly #fs: BufferFileSystem
  readonly #directory: string
  #file: BufferFile | null = null
  #nextSlot = 0

  constructor (fs: BufferFileSystem, directory: string) {
    this.#fs = fs
    this.#directory = directory
  }

  get path (): string {
    return join(this.#directory, MARK_NAME)
  }

  /** Resolves to the last mark written, undefined when there is no file, or null when it holds none that is whole. */
  async read (): Promise<Mark | undefined | null> {
    let file: BufferFile
    try {
      file = await this.#fs.open(this.path, 'r')
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    }
    try {
      const bytes = Buffer.alloc(SLOT_SPACING + SLOT_BYTES)
      // A crash came between its making and the first mark.
      if (await readFully(file, bytes, 0) === 0) return undefined
      const first = decodeSlot(bytes.subarray(0, SLOT_BYTES))
      const second = decodeSlot(bytes.subarray(SLOT_SPACING))
      if (first === null && second === null) return null
      const isFirstNewer = second === null || (first !== null && first.sequence >= second.sequence)
      this.#nextSlot = isFirstNewer ? 1 : 0
      return isFirstNewer ? first : second
    } finally {
      await file.close()
    }
  }

  /** Writes the mark; durable when it resolves. */
  async write (mark: Mark): Promise<void> {
    const file = this.#file ?? await this.#create()
    await writeWhole(file, encodeSlot(mark), this.#nextSlot * SLOT_SPACING)
    await file.datasync()
    // Only now: a slot that may be spoilt is written again, not the good one.
    this.#nextSlot = 1 - this.#nextSlot
  }

  async close (): Promise<void> {
    const file = this.#file
    this.#file = null
    await file?.close()
  }

  async #create (): Promise<BufferFile> {
    let file: BufferFile
    try {
      file = await this.#fs.open(this.path, 'r+')
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
      file = await this.#fs.open(this.path, 'wx+', 0o600)
      try {
        await syncFolder(this.#fs, this.#directory)
      } catch (error) {
        await file.close()
        throw error
      }
    }
    this.#file = file
    return file
  }
}

function encodeSlot ({ sequence, fileNumber }: Mark): Buffer {
  const bytes = Buffer.allocUnsafe(SLOT_BYTES)
  bytes.writeUInt32LE(MAGIC, 0)
  bytes.writeUInt32LE(VERSION, 4)
  bytes.writeBigUInt64LE(BigInt(sequence), 8)
  bytes.writeUInt32LE(fileNumber, 16)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CHECKED_BYTES)), CHECKED_BYTES)
  return bytes
}

function decodeSlot (bytes: Buffer): Mark | null {
  if (bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(4) !== VERSION) return null
  if (crc32(bytes.subarray(0, CHECKED_BYTES)) !== bytes.readUInt32LE(CHECKED_BYTES)) return null
  return { sequence: Number(bytes.readBigUInt64LE(8)), fileNumber: bytes.readUInt32LE(16) }
}
