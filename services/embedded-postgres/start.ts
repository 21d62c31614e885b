import { realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chooseAccount, type Account } from './account.ts'
import { locateNativeDir, prepareBinaries, type Binaries } from './binaries.ts'
import { ensureCluster, makeDataDir } from './cluster.ts'
import { EmbeddedPostgresError } from './errors.ts'
import type { EmbeddedPostgres, EmbeddedPostgresOptions } from './options.ts'
import { claimCluster, readPidFile } from './pid-file.ts'
import { readTail, rotateLog, sizeOfLog } from './server-log.ts'
import { settingArguments } from './settings.ts'
import { chooseSocketFolder, removeSocketFolder } from './socket-folder.ts'
import { superviseServer, type SupervisedServer } from './supervisor.ts'

export type { EmbeddedPostgres, EmbeddedPostgresLog, EmbeddedPostgresOptions, ExitStatus } from './options.ts'

// Nothing listens on it: it only names the socket.
const PORT = 5432
const START_TIMEOUT_MS = 30_000
const POLL_MS = 20

// Left over for a moment by a server that was killed: its last children, or another start that won.
const RETRY_MS = 5_000
const RETRY_CAUSE = /pre-existing shared memory block|lock file ".*" (already exists|is empty)/

interface Place {
  clusterDir: string
  logPath: string
  account: Account
  binaries: Binaries
}

/**
 * Starts PostgreSQL from the binaries npm installed, on a cluster in the data folder that is made at the first start.
 * The server listens on a unix socket only and ends with this process, however that ends. It keeps the
 * event loop alive until `stop()`. Throws errors with the codes RGT_EMBEDDED_UNSUPPORTED, _IN_USE or _FAILED.
 */
export async function startEmbeddedPostgres (options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') {
    throw new EmbeddedPostgresError('RGT_EMBEDDED_UNSUPPORTED',
      'the embedded PostgreSQL is not supported on Windows: set DATABASE_URL to a PostgreSQL server')
  }
  try {
    return await startWithRetries(await preparePlace(options), options)
  } catch (cause) {
    if (cause instanceof EmbeddedPostgresError) throw cause
    throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED', `PostgreSQL could not be started in ${options.dataDir}: ${String(cause)}`, { cause })
  }
}

async function startWithRetries (place: Place, options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const giveUpMs = performance.now() + RETRY_MS
  for (;;) {
    const fromByte = await sizeOfLog(place.logPath)
    const started = await attempt(place, options, fromByte)
    if (started !== undefined) return started
    const tail = await readTail(place.logPath, fromByte)
    if (performance.now() > giveUpMs || !RETRY_CAUSE.test(tail)) {
      throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED', `PostgreSQL did not start on ${place.clusterDir}:\n${tail}`)
    }
    await sleep(200)
    await claimCluster(place.clusterDir, options.log)
  }
}

async function preparePlace ({ dataDir: givenDir, log }: EmbeddedPostgresOptions): Promise<Place> {
  const nativeDir = locateNativeDir()
  await makeDataDir(resolve(givenDir))
  // The real path, because permissions count along it.
  const dataDir = await realpath(givenDir)
  const clusterDir = join(dataDir, 'postgres')
  const account = await chooseAccount(dataDir, clusterDir, log)
  const binaries = await prepareBinaries(nativeDir, dataDir, account, log)
  await ensureCluster(clusterDir, binaries, account, log)
  const before = await readPidFile(clusterDir)
  await claimCluster(clusterDir, log)
  // The folder of a server that was killed together with its watcher.
  if (before !== undefined) await removeSocketFolder(before.socketDir)
  const logPath = join(dataDir, 'postgres.log')
  await rotateLog(logPath)
  return { clusterDir, logPath, account, binaries }
}

/** One start of the server; undefined when it ended by itself before it was ready. */
async function attempt (place: Place, options: EmbeddedPostgresOptions, fromByte: number): Promise<EmbeddedPostgres | undefined> {
  const { clusterDir, logPath, account, binaries } = place
  const { log, settings = {}, startTimeoutMs = START_TIMEOUT_MS } = options
  const socketFolder = await chooseSocketFolder(clusterDir, PORT, account)
  const args = await settingArguments(clusterDir, socketFolder.path, settings, binaries, account)
  const server = await superviseServer({
    command: binaries.postgres,
    args: ['-D', clusterDir, '-p', String(PORT), ...args],
    socketFolder,
    logPath,
    account,
    log
  }).catch(async error => {
    await removeSocketFolder(socketFolder.path)
    throw error
  })
  const outcome = await waitUntilReady(server, clusterDir, logPath, startTimeoutMs).catch(async error => {
    await server.stop()
    throw error
  })
  if (outcome === 'ended') return undefined
  if (outcome === 'late') {
    await server.stop()
    throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED',
      `PostgreSQL was not ready on ${clusterDir} within ${startTimeoutMs} ms:\n${await readTail(logPath, fromByte)}`)
  }
  log.info({ folder: clusterDir, pid: server.pid, version: binaries.version }, 'embedded PostgreSQL started')
  return {
    socketDir: socketFolder.path,
    port: PORT,
    user: 'postgres',
    database: 'postgres',
    version: binaries.version,
    exited: server.exited,
    stop: server.stop
  }
}

// Crash recovery reports its progress to the log: as long as the log grows, the wait goes on.
async function waitUntilReady (server: SupervisedServer, clusterDir: string, logPath: string, silenceMs: number): Promise<'ready' | 'ended' | 'late'> {
  const ended = server.exited.then(() => 'ended' as const)
  let size = -1
  let deadlineMs = 0
  for (;;) {
    const file = await readPidFile(clusterDir)
    if (file?.pid === server.pid && file.status === 'ready') return 'ready'
    const newSize = await sizeOfLog(logPath)
    if (newSize !== size) deadlineMs = performance.now() + silenceMs
    size = newSize
    if (performance.now() > deadlineMs) return 'late'
    if (await Promise.race([ended, sleep(POLL_MS)]) === 'ended') return 'ended'
  }
}
