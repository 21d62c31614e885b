import * as promises from 'node:fs/promises'

/** An open file, as far as the buffer uses it; a FileHandle of Node is one. */
export interface BufferFile {
  read (buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>
  write (buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>
  writev (buffers: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }>
  datasync (): Promise<void>
  sync (): Promise<void>
  truncate (bytes: number): Promise<void>
  stat (): Promise<{ size: number }>
  close (): Promise<void>
}

/** The functions of the file system that the buffer uses; tests make them fail. */
export interface BufferFileSystem {
  /** Resolves to the first folder that was made, or undefined when all were there. */
  mkdir (path: string, options: { recursive: true, mode: number }): Promise<string | undefined>
  open (path: string, flags: string, mode?: number): Promise<BufferFile>
  readdir (path: string): Promise<string[]>
  rename (from: string, to: string): Promise<void>
  unlink (path: string): Promise<void>
}

/** The real one. */
export const nodeFileSystem: BufferFileSystem = promises

/** Makes creations, renames and deletions in a folder durable. */
export async function syncFolder (fs: BufferFileSystem, folder: string): Promise<void> {
  const handle = await fs.open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Writes all of it; a short write, which is how a full disk may show, is an error. */
export async function writeWhole (file: BufferFile, bytes: Uint8Array, position: number): Promise<void> {
  const { bytesWritten } = await file.write(bytes, 0, bytes.length, position)
  if (bytesWritten !== bytes.length) throw new Error(`only ${bytesWritten} of ${bytes.length} bytes were written`)
}

/** Reads until the buffer is full or the file ends; resolves to the number of bytes read. */
export async function readFully (file: BufferFile, buffer: Uint8Array, position: number): Promise<number> {
  let filled = 0
  let hasFailed = false
  while (filled < buffer.length) {
    try {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    } catch (error) {
      // Once more: what is set aside for a fault of the disk must not be for a passing one.
      if (hasFailed || systemCode(error) !== 'EIO') throw error
      hasFailed = true
    }
  }
  return filled
}

/** The `code` of a system error (ENOENT and so on), or undefined for anything else. */
export function systemCode (error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
