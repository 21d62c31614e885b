import { open, rename, stat } from 'node:fs/promises'

const ROTATE_BYTES = 10 * 1024 * 1024
const TAIL_BYTES = 8 * 1024
const TAIL_LINES = 15

/** Moves a log that has grown too large aside; one older file is kept. */
export async function rotateLog (path: string): Promise<void> {
  if (await sizeOfLog(path) > ROTATE_BYTES) await rename(path, `${path}.1`)
}

/** Size in bytes, 0 when there is no log yet. */
export async function sizeOfLog (path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0
}

/** The last lines written after `fromByte`. */
export async function readTail (path: string, fromByte: number): Promise<string> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const start = Math.max(fromByte, size - TAIL_BYTES)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.max(0, size - start)), 0, Math.max(0, size - start), start)
    return buffer.subarray(0, bytesRead).toString().trim().split('\n').slice(-TAIL_LINES).join('\n')
  } finally {
    await handle.close()
  }
}
