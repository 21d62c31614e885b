// A server process of its own, and what it takes of the machine.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { projectDir, readyUrl, spawnServer } from '../fixtures/server-process.ts'
import type { ServerProcess } from '../fixtures/server-process.ts'
import { createDatabase, request } from '../support.ts'

/** Figures of a process are read from /proc. */
export const notOnLinux = process.platform === 'linux' ? false : 'reads /proc'

export interface ServerUnderTest {
  server: ServerProcess
  url: string
  databaseUrl: string
  /** Megabytes it holds now, and the most it ever held. */
  rssMb: () => number
  peakMb: () => number
  /** Open files and sockets. */
  descriptors: () => number
  parkedPops: () => Promise<number>
}

export interface Setup {
  env?: Record<string, string>
  databaseUrl?: string
  /** Pass its timeouts ten times sooner. */
  isImpatient?: boolean
  /** Most files and sockets it may open. */
  descriptorLimit?: number
}

/** Starts it on a database of its own. */
export async function startServer (t: Test, { env = {}, databaseUrl, isImpatient = false, descriptorLimit }: Setup = {}): Promise<ServerUnderTest> {
  const database = databaseUrl ?? await createDatabase(t)
  const preload = isImpatient ? ['--import', fileURLToPath(new URL('short-timeouts.mjs', import.meta.url))] : []
  const node = [process.execPath, ...preload, join(projectDir, 'dist/server.js')]
  const command = descriptorLimit === undefined ? node : ['/bin/sh', '-c', `ulimit -n ${descriptorLimit} && exec "$0" "$@"`, ...node]
  const server = spawnServer(t, { command, env: { DATABASE_URL: database, FILE_BUFFER_DIR: makeFolder(t), LOG_LEVEL: 'warn', HOST: '127.0.0.1', ...env } })
  const url = await readyUrl(server)
  return {
    server,
    url,
    databaseUrl: database,
    rssMb: () => megabytes(server.pid, 'VmRSS'),
    peakMb: () => megabytes(server.pid, 'VmHWM'),
    descriptors: () => readdirSync(`/proc/${server.pid}/fd`).length,
    parkedPops: async () => (await request(`${url}/health`)).json.load.parkedPops
  }
}

function megabytes (pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const [, kilobytes] = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status) ?? []
  return Number(kilobytes) / 1024
}
