import { syncFolder, systemCode } from './file-system.ts'
import type { BufferFileSystem } from './file-system.ts'
import type { Log } from '../queue/types.ts'

/** Files that are to be deleted: tried again each time until they are gone. */
export class Removals {
  readonly #fs: BufferFileSystem
  readonly #directory: string
  readonly #log: Log
  #paths: string[] = []

  constructor (fs: BufferFileSystem, directory: string, log: Log) {
    this.#fs = fs
    this.#directory = directory
    this.#log = log
  }

  add (path: string): void {
    this.#paths.push(path)
  }

  /** Never throws. What cannot be deleted stays for the next time, also over a restart: nothing in it is undrained. */
  async run (): Promise<void> {
    const paths = this.#paths
    if (paths.length === 0) return
    this.#paths = []
    for (const path of paths) {
      try {
        await this.#fs.unlink(path)
      } catch (error) {
        if (systemCode(error) === 'ENOENT') continue
        this.#paths.push(path)
        this.#log.warn({ err: error, file: path }, 'a file of the file buffer cannot be deleted now')
      }
    }
    await syncFolder(this.#fs, this.#directory).catch((error: unknown) => {
      // A deletion that is undone by a power failure brings back what the mark calls drained.
      this.#log.warn({ err: error, folder: this.#directory }, 'a deletion in the file buffer may not be durable')
    })
  }
}
