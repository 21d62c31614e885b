// What the tests of the file buffer share: folders, a file system that fails on demand, ways to read everything back.
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { FileBuffer } from '../../services/buffer/file-buffer.ts'
import type { FileBufferOptions } from '../../services/buffer/file-buffer.ts'
import { nodeFileSystem } from '../../services/buffer/file-system.ts'
import type { BufferFile, BufferFileSystem } from '../../services/buffer/file-system.ts'

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  fields: Record<string, unknown>
  message: string
}

export class MemoryLog {
  readonly lines: LogLine[] = []
  debug (fields: object, message: string): void { this.#add('debug', fields, message) }
  info (fields: object, message: string): void { this.#add('info', fields, message) }
  warn (fields: object, message: string): void { this.#add('warn', fields, message) }
  error (fields: object, message: string): void { this.#add('error', fields, message) }

  of (level: LogLine['level']): LogLine[] {
    return this.lines.filter(line => line.level === level)
  }

  #add (level: LogLine['level'], fields: object, message: string): void {
    this.lines.push({ level, fields: { ...fields }, message })
  }
}

export function makeFolder (t: Test, parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'regent-buffer-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

export type Settings = Partial<FileBufferOptions> & { directory: string }

/** In memory where there is such a file system: for tests that open hundreds of buffers and simulate the disk. */
export function makeQuickFolder (t: Test): string {
  return makeFolder(t, existsSync('/dev/shm') ? '/dev/shm' : tmpdir())
}

/** Opens a buffer with small files; closed at the end of the test unless it was before. */
export async function openBuffer (t: Test, settings: Settings): Promise<FileBuffer> {
  const buffer = await FileBuffer.open({ maxBytes: 1 << 30, fileBytes: 1 << 20, retryPauseMs: 0, log: new MemoryLog(), ...settings })
  t.teardown(async () => { await buffer.close() })
  return buffer
}

export const text = (payload: Uint8Array): string => Buffer.from(payload).toString('latin1')

export async function appendText (buffer: FileBuffer, value: string): Promise<number> {
  return (await buffer.append(Buffer.from(value, 'latin1'))).sequence
}

/** Everything that is not released, read in small steps; releases it. */
export async function drain (buffer: FileBuffer, maxRecords = 7): Promise<string[]> {
  const values: string[] = []
  let last = 0
  for (;;) {
    const entries = await buffer.peek({ maxRecords, maxBytes: 1 << 20 })
    const final = entries.at(-1)
    if (final === undefined) return values
    for (const { sequence, payload } of entries) {
      if (sequence <= last) throw new Error(`sequence ${sequence} after ${last}`)
      last = sequence
      values.push(text(payload))
    }
    await buffer.release(final.sequence)
  }
}

export function logFiles (directory: string): string[] {
  return readdirSync(directory).filter(name => name.endsWith('.log')).sort()
}

export function logBytes (directory: string): number {
  return logFiles(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
}

/** Names and contents of the quarantine, without the reason files. */
export function quarantined (directory: string): Record<string, Buffer> {
  const folder = join(directory, 'quarantine')
  try {
    return Object.fromEntries(readdirSync(folder).filter(name => !name.endsWith('.json')).map(name => [name, readFileSync(join(folder, name))]))
  } catch {
    return {}
  }
}

export type Operation = 'mkdir' | 'open' | 'readdir' | 'rename' | 'unlink' | 'read' | 'write' | 'writev' | 'datasync' | 'sync' | 'truncate' | 'stat' | 'close'

export interface Call {
  operation: Operation
  path: string
}

export interface FaultyOptions {
  /** Called before each operation; what it returns is thrown, after half of the bytes were written where bytes are. */
  fault: (call: Call) => Error | undefined
}

export function systemError (code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code })
}

/** The real file system, with faults. */
export function faultyFileSystem ({ fault }: FaultyOptions): BufferFileSystem {
  const check = (operation: Operation, path: string): void => {
    const error = fault({ operation, path })
    if (error !== undefined) throw error
  }
  return {
    async mkdir (path, options) {
      check('mkdir', path)
      return await nodeFileSystem.mkdir(path, options)
    },
    async open (path, flags, mode) {
      check('open', path)
      return faultyFile(await nodeFileSystem.open(path, flags, mode), path, fault, check)
    },
    async readdir (path) {
      check('readdir', path)
      return await nodeFileSystem.readdir(path)
    },
    async rename (from, to) {
      check('rename', from)
      await nodeFileSystem.rename(from, to)
    },
    async unlink (path) {
      check('unlink', path)
      await nodeFileSystem.unlink(path)
    }
  }
}

function faultyFile (file: BufferFile, path: string, fault: FaultyOptions['fault'], check: (operation: Operation, path: string) => void): BufferFile {
  return {
    async read (buffer, offset, length, position) {
      check('read', path)
      return await file.read(buffer, offset, length, position)
    },
    async write (buffer, offset, length, position) {
      const error = fault({ operation: 'write', path })
      if (error === undefined) return await file.write(buffer, offset, length, position)
      await file.write(buffer, offset, length >> 1, position)
      throw error
    },
    async writev (buffers, position) {
      const error = fault({ operation: 'writev', path })
      if (error === undefined) return await file.writev(buffers, position)
      const all = Buffer.concat(buffers)
      const { bytesWritten } = await file.write(all, 0, all.length >> 1, position)
      // As the kernel does: what did not fit shows as a short write at first.
      if (error.message.startsWith('short')) return { bytesWritten }
      throw error
    },
    async datasync () {
      check('datasync', path)
      await file.datasync()
    },
    async sync () {
      check('sync', path)
      await file.sync()
    },
    async truncate (bytes) {
      check('truncate', path)
      await file.truncate(bytes)
    },
    async stat () {
      check('stat', path)
      return await file.stat()
    },
    async close () {
      // A descriptor is closed also when close reports an error.
      await file.close()
      check('close', path)
    }
  }
}
