import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from './child.ts'
import type { HttpServer } from './child.ts'
import { countChildren } from './proc.ts'

const START_TIMEOUT_MS = 10_000
const LOOK_MS = 50

export interface ServiceOptions {
  databaseUrl: string
  /** Processes of the service. */
  workers: number
  /** Where each process leaves a CPU profile when it ends; null: none is taken. */
  profileDir: string | null
  env: Record<string, string>
}

/** The service under test, as an operator starts it. Its file buffer lives as long as this. */
export async function startService ({ databaseUrl, workers, profileDir, env }: ServiceOptions): Promise<HttpServer> {
  const folder = await mkdtemp(join(tmpdir(), 'regent-bench-buffer-'))
  const remove = async (): Promise<void> => { await rm(folder, { recursive: true, force: true }) }
  try {
    const server = await startServer('../../server.js', {
      DATABASE_URL: databaseUrl,
      PORT: '0',
      HOST: '127.0.0.1',
      LOG_LEVEL: 'error',
      FILE_BUFFER_DIR: folder,
      FILE_BUFFER_MAX_MB: '65536',
      ...(workers > 1 ? { WORKERS: String(workers) } : {}),
      ...env
    }, profileDir === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`])
    const stop = async (): Promise<void> => {
      await server.stop()
      await remove()
    }
    try {
      await checkWorkers(server.pid, workers)
    } catch (error) {
      await stop()
      throw error
    }
    return { ...server, stop }
  } catch (error) {
    await remove()
    throw error
  }
}

// A service that did not know the option would be measured as something it is not.
async function checkWorkers (pid: number, workers: number): Promise<void> {
  if (workers === 1) return
  const giveUpAt = performance.now() + START_TIMEOUT_MS
  let children = await countChildren(pid)
  while (children < workers && performance.now() < giveUpAt) {
    await new Promise(resolve => setTimeout(resolve, LOOK_MS))
    children = await countChildren(pid)
  }
  if (children < workers) throw new Error(`the service was to run in ${workers} processes, and runs in ${Math.max(children, 1)}`)
}

/** A TCP port that nobody listens on. */
export async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo // it listens on TCP
  await new Promise<void>(resolve => { server.close(() => { resolve() }) })
  return port
}
