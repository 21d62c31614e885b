import { readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EmbeddedPostgresError, systemCode } from './errors.ts'
import type { EmbeddedPostgresLog } from './options.ts'
import { isAlive, isServerOf } from './processes.ts'

// A server whose supervisor has just died gets its signal within milliseconds, then says "stopping".
const RUNNING_GRACE_MS = 3_000
const STOPPING_GRACE_MS = 20_000
const POLL_MS = 50

export interface PidFile {
  text: string
  /** NaN when the file is empty or damaged. */
  pid: number
  port: number
  dataDir: string
  socketDir: string
  /** starting, ready, stopping, or empty. */
  status: string
}

/** Reads postmaster.pid; its lines are pid, data folder, start time, port, socket folder, address, memory key, status. */
export async function readPidFile (clusterDir: string): Promise<PidFile | undefined> {
  try {
    const text = await readFile(join(clusterDir, 'postmaster.pid'), 'utf8')
    const lines = text.split('\n').map(line => line.trim())
    // A single-user server writes its pid with a minus sign.
    const pid = Math.abs(Number.parseInt(lines[0] ?? ''))
    return { text, pid, dataDir: lines[1] ?? '', port: Number(lines[3]), socketDir: lines[4] ?? '', status: lines[7] ?? '' }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Waits until no server runs on the cluster, and removes a pid file PostgreSQL would wrongly stop at.
 * Throws RGT_EMBEDDED_IN_USE when a server runs there and is not about to end.
 */
export async function claimCluster (clusterDir: string, log: EmbeddedPostgresLog): Promise<void> {
  const startedMs = performance.now()
  for (;;) {
    const file = await readPidFile(clusterDir)
    if (file === undefined) return
    const waitedMs = performance.now() - startedMs
    const isRunning = await isServerOf(file.pid, clusterDir) || await answers(file, clusterDir)
    // An empty file may be one that a server is about to fill.
    if (!isRunning && (Number.isFinite(file.pid) || waitedMs > RUNNING_GRACE_MS)) {
      await removeStale(clusterDir, file, log)
      return
    }
    if (waitedMs > (file.status === 'stopping' ? STOPPING_GRACE_MS : RUNNING_GRACE_MS)) {
      throw new EmbeddedPostgresError('RGT_EMBEDDED_IN_USE',
        `a PostgreSQL server with process id ${file.pid} already runs on ${clusterDir}: ` +
        'stop the service that owns it, or choose another data folder')
    }
    await sleep(POLL_MS)
  }
}

// A server in another container has a pid that means nothing here, but its socket is in the shared folder.
async function answers (file: PidFile, clusterDir: string): Promise<boolean> {
  // In a copied folder the file still names the socket of the original, whose server does not matter here.
  const isOwnFolder = file.socketDir === file.dataDir
  if (!isOwnFolder && file.dataDir !== clusterDir) return false
  const socketDir = isOwnFolder ? clusterDir : file.socketDir
  const socket = connect({ path: join(socketDir, `.s.PGSQL.${file.port}`) })
  try {
    return await new Promise(resolve => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
  } finally {
    socket.destroy()
  }
}

// PostgreSQL removes files of dead processes itself; it stops at those whose pid was given to another process.
async function removeStale (clusterDir: string, judged: PidFile, log: EmbeddedPostgresLog): Promise<void> {
  if (Number.isFinite(judged.pid) && !isAlive(judged.pid)) return
  const now = await readPidFile(clusterDir)
  if (now?.text !== judged.text) return
  log.warn({ folder: clusterDir, pid: judged.pid }, 'removing a PostgreSQL pid file that names another process')
  await rm(join(clusterDir, 'postmaster.pid'), { force: true })
  await rm(join(clusterDir, `.s.PGSQL.${judged.port}.lock`), { force: true })
}
