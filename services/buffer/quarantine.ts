import { basename, dirname, join } from 'node:path'
import { readFully, syncFolder, systemCode, writeWhole } from './file-system.ts'
import type { BufferFile, BufferFileSystem } from './file-system.ts'

const COPY_BYTES = 256 * 1024

/** What is written beside everything that is set aside. */
export interface Reason {
  /** Short text. */
  reason: string
  [field: string]: string | number | boolean | null
}

/**
 * The folder of what was set aside: `x` and its reason `x.json`. Nothing here is ever deleted or changed by the service.
 * A name is derived from what it is about, so that the same thing set aside again, after a crash, is there once.
 */
export class Quarantine {
  readonly folder: string
  readonly #fs: BufferFileSystem
  #count = 0

  private constructor (fs: BufferFileSystem, directory: string) {
    this.#fs = fs
    this.folder = join(directory, 'quarantine')
  }

  /** @param directory that of the buffer; the folder itself is made when something is first set aside */
  static async open (fs: BufferFileSystem, directory: string): Promise<Quarantine> {
    const quarantine = new Quarantine(fs, directory)
    quarantine.#count = await quarantine.#countReasons()
    return quarantine
  }

  /** Things set aside, without torn tails. */
  get count (): number {
    return this.#count
  }

  /** Keeps bytes, durably when it resolves. Resolves to whether they were not there before. */
  async keepBytes (name: string, bytes: Uint8Array, reason: Reason): Promise<boolean> {
    return await this.#keep(name, reason, async target => { await writeWhole(target, bytes, 0) })
  }

  /** Keeps a part of a file, durably when it resolves. Resolves to whether it was not there before. */
  async keepPart (name: string, source: BufferFile, from: number, to: number, reason: Reason): Promise<boolean> {
    return await this.#keep(name, reason, async target => {
      const chunk = Buffer.allocUnsafe(Math.min(COPY_BYTES, to - from))
      for (let at = from; at < to;) {
        const filled = await readFully(source, chunk.subarray(0, Math.min(chunk.length, to - at)), at)
        if (filled === 0) break
        await writeWhole(target, chunk.subarray(0, filled), at - from)
        at += filled
      }
    })
  }

  /** Moves a whole file here. */
  async moveFile (path: string, reason: Reason): Promise<void> {
    await this.#makeFolder()
    const name = await this.#freeName(basename(path))
    // The reason first: whatever lies here has one, also after a crash.
    await this.#write(`${name}.json`, async target => { await writeWhole(target, reasonText(reason), 0) })
    await this.#fs.rename(path, join(this.folder, name))
    this.#count++
    await syncFolder(this.#fs, this.folder)
    await syncFolder(this.#fs, dirname(path))
  }

  async #keep (name: string, reason: Reason, fill: (target: BufferFile) => Promise<void>): Promise<boolean> {
    await this.#makeFolder()
    if (await this.#exists(`${name}.json`)) return false
    await this.#write(name, fill)
    await this.#write(`${name}.json`, async target => { await writeWhole(target, reasonText(reason), 0) })
    await syncFolder(this.#fs, this.folder)
    if (isCounted(name)) this.#count++
    return true
  }

  // Under another name until it is whole: what has its name was written completely.
  async #write (name: string, fill: (target: BufferFile) => Promise<void>): Promise<void> {
    const path = join(this.folder, name)
    const target = await this.#fs.open(`${path}.part`, 'w', 0o600)
    try {
      await fill(target)
      await target.sync()
    } finally {
      await target.close()
    }
    await this.#fs.rename(`${path}.part`, path)
  }

  async #makeFolder (): Promise<void> {
    const made = await this.#fs.mkdir(this.folder, { recursive: true, mode: 0o700 })
    if (made !== undefined) await syncFolder(this.#fs, dirname(this.folder))
  }

  // File numbers begin anew in a folder somebody has emptied.
  async #freeName (name: string): Promise<string> {
    for (let n = 0; ; n++) {
      const candidate = n === 0 ? name : `${name}.${n}`
      if (!await this.#exists(candidate)) return candidate
    }
  }

  async #exists (name: string): Promise<boolean> {
    try {
      const handle = await this.#fs.open(join(this.folder, name), 'r')
      await handle.close()
      return true
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false
      throw error
    }
  }

  async #countReasons (): Promise<number> {
    try {
      const names = await this.#fs.readdir(this.folder)
      return names.filter(name => name.endsWith('.json') && isCounted(name.slice(0, -'.json'.length))).length
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return 0
      throw error
    }
  }
}

// Every power failure may leave a torn tail: a copy is kept, but it is nothing an operator has to look at.
function isCounted (name: string): boolean {
  return !name.endsWith('.torn')
}

function reasonText (reason: Reason): Buffer {
  return Buffer.from(`${JSON.stringify(reason, null, 2)}\n`)
}
