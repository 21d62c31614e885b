import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { findClosedFolder, type Account } from './account.ts'
import { EmbeddedPostgresError } from './errors.ts'

// The kernel's sockaddr_un has 108 bytes on Linux and 104 elsewhere, with a closing zero.
const SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103
const PREFIX = 'regent-pg-'

export interface SocketFolder {
  path: string
  /** A folder that lives only as long as the server, not the cluster's own. */
  isTemporary: boolean
}

/** The folder for the server's socket: the cluster itself, or a private short one when the path would be too long. */
export async function chooseSocketFolder (clusterDir: string, port: number, account: Account): Promise<SocketFolder> {
  if (fits(clusterDir, port)) return { path: clusterDir, isTemporary: false }
  for (const parent of new Set([tmpdir(), '/tmp'])) {
    if (!fits(join(parent, `${PREFIX}XXXXXX`), port) || await findClosedFolder(account, parent) !== undefined) continue
    const path = await mkdtemp(join(parent, PREFIX))
    if (account.identity.uid !== undefined) await chown(path, account.uid, account.gid)
    return { path, isTemporary: true }
  }
  throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED',
    `the path of ${clusterDir} is too long for a unix socket and no short temporary folder is open to user id ${account.uid}: ` +
    'choose a shorter data folder')
}

/** Removes a temporary socket folder; `path` may come from a pid file, hence the check of its name. */
export async function removeSocketFolder (path: string): Promise<void> {
  if (basename(path).startsWith(PREFIX)) await rm(path, { recursive: true, force: true })
}

function fits (folder: string, port: number): boolean {
  return Buffer.byteLength(join(folder, `.s.PGSQL.${port}`)) <= SOCKET_PATH_BYTES
}
