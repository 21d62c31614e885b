import { randomBytes } from 'node:crypto'
import { mkdtemp, rmdir, symlink, unlink } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { RegentError } from '../errors.ts'
import { systemCode } from './file-system.ts'
import type { BufferFileSystem } from './file-system.ts'

const NAME = /^lock-(\d+)-[0-9a-f]{8}$/
// The kernel's sockaddr_un has 108 bytes on Linux and 104 elsewhere, with a closing zero.
const SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103
const ATTEMPTS = 5
const PAUSE_MS = 40

export interface Lock {
  release (): Promise<void>
}

/**
 * Takes a folder for this process alone. The lock is a listening unix socket in it: the kernel closes it with its
 * process, however that ends, and refuses connections from then on. A pid file would not do: in containers that share a
 * volume, pids and start times of another container mean nothing, and Node alone has no flock.
 *
 * Each contender listens on a name of its own, then looks whether somebody else answers; if so, it gives way. Of two, the
 * one that looks last sees the other, so never both hold the folder. Names that nobody listens on are removed, only
 * while listening oneself: whoever would miss such a name still meets the one that removed it.
 *
 * Holds on one machine: a network file system that two hosts write to is not protected.
 * @throws RegentError RGT_BUFFER_IN_USE when another process has it; what the file system throws
 */
export async function lockFolder (fs: BufferFileSystem, folder: string): Promise<Lock> {
  for (let attempt = 1; ; attempt++) {
    const name = `lock-${process.pid}-${randomBytes(4).toString('hex')}`
    const server = await listen(folder, name)
    let other: string | undefined
    try {
      other = await findOther(fs, folder, name)
    } catch (error) {
      await stop(fs, folder, name, server)
      throw error
    }
    if (other === undefined) return { release: async () => { await stop(fs, folder, name, server) } }
    await stop(fs, folder, name, server)
    // Two that started at once have both given way; and a process that was just killed may answer a moment longer.
    if (attempt === ATTEMPTS) {
      const pid = NAME.exec(other)?.[1] ?? '?'
      throw new RegentError('RGT_BUFFER_IN_USE', {
        detail: `The file buffer ${folder} is in use by the process with id ${pid}: stop it, or give each process a folder of its own (FILE_BUFFER_DIR)`
      })
    }
    await delay(PAUSE_MS * (0.5 + Math.random()) * attempt)
  }
}

async function findOther (fs: BufferFileSystem, folder: string, own: string): Promise<string | undefined> {
  const names = await fs.readdir(folder)
  // Somebody looked between our taking of the name and our listening, and removed it: it was there, so we give way.
  if (!names.includes(own)) return names.find(name => name !== own && NAME.test(name)) ?? own
  for (const name of names) {
    if (name === own || !NAME.test(name)) continue
    if (await isAnswered(folder, name)) return name
    await unlinkIfThere(fs, join(folder, name))
  }
  return undefined
}

async function listen (folder: string, name: string): Promise<Server> {
  const server = createServer(socket => { socket.destroy() })
  // It must not keep the process alive, and in a cluster it must be the worker's own.
  server.unref()
  await withShortPath(folder, name, async path => {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ path, exclusive: true }, () => {
        server.off('error', reject)
        resolve()
      })
    })
  })
  // Failing to accept is no reason to end: that it listens is all that counts.
  server.on('error', () => {})
  return server
}

async function isAnswered (folder: string, name: string): Promise<boolean> {
  return await withShortPath(folder, name, async path => await new Promise<boolean>(resolve => {
    const socket = connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // Anything else, such as a full backlog or a missing permission, does not say that nobody listens.
    socket.once('error', error => {
      resolve(!['ECONNREFUSED', 'ENOENT', 'ENOTSOCK'].includes(systemCode(error) ?? ''))
    })
  }))
}

async function stop (fs: BufferFileSystem, folder: string, name: string, server: Server): Promise<void> {
  // By hand: Node removes the path it listened on, which may be the short one that is gone.
  await unlinkIfThere(fs, join(folder, name))
  await new Promise<void>(resolve => { server.close(() => { resolve() }) })
}

// A name that stays is removed by the next to come, once its process is gone.
async function unlinkIfThere (fs: BufferFileSystem, path: string): Promise<void> {
  await fs.unlink(path).catch(() => {})
}

// A folder whose path is too long for a socket's address is reached by a short link while the address is used.
async function withShortPath<T> (folder: string, name: string, use: (path: string) => Promise<T>): Promise<T> {
  const path = join(folder, name)
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES) return await use(path)
  const parent = await mkdtemp(join(tmpdir(), 'rgt-'))
  const link = join(parent, 'l')
  try {
    await symlink(folder, link)
    return await use(join(link, name))
  } finally {
    await unlink(link).catch(() => {})
    await rmdir(parent).catch(() => {})
  }
}
