import { chmod, mkdir, mkdtemp, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ownAccount, runAs, type Account } from './account.ts'
import type { Binaries } from './binaries.ts'
import { EmbeddedPostgresError, systemCode } from './errors.ts'
import type { EmbeddedPostgresLog } from './options.ts'
import { isAlive } from './processes.ts'

/** Makes the cluster unless there is one already; refuses one that these binaries cannot run. */
export async function ensureCluster (clusterDir: string, binaries: Binaries, account: Account, log: EmbeddedPostgresLog): Promise<void> {
  await removeUnfinished(clusterDir)
  if (!await hasCluster(clusterDir)) {
    await makeCluster(clusterDir, binaries, account)
    log.info({ folder: clusterDir, version: binaries.version }, 'PostgreSQL cluster made')
  }
  const made = (await readFile(join(clusterDir, 'PG_VERSION'), 'utf8')).trim()
  const major = binaries.version.split('.')[0]
  if (made !== major) {
    throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED',
      `${clusterDir} was made by PostgreSQL ${made}, the installed binaries are version ${binaries.version}: ` +
      `install binaries of version ${made}, dump the data with them and load it into a new folder`)
  }
  await giveTo(account, clusterDir)
}

async function hasCluster (clusterDir: string): Promise<boolean> {
  const entries: string[] = await readdir(clusterDir).catch(error => {
    if (systemCode(error) === 'ENOENT') return []
    throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED', `cannot read ${clusterDir}: ${String(error)}`, { cause: error })
  })
  if (entries.length === 0) return false
  if (entries.includes('PG_VERSION')) return true
  throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED',
    `${clusterDir} exists and is not a PostgreSQL cluster: move it away or choose another data folder`)
}

// Made beside its place and renamed when complete: a cluster that has the right name is always whole.
async function makeCluster (clusterDir: string, binaries: Binaries, account: Account): Promise<void> {
  const unfinished = await mkdtemp(`${clusterDir}.new-${process.pid}-`)
  try {
    await giveTo(account, unfinished)
    const isBuiltinLocaleKnown = Number.parseInt(binaries.version) >= 17
    const { ok, output } = await runAs(account, binaries.initdb, '-D', unfinished, '-U', 'postgres', '-E', 'UTF8',
      '-A', 'trust', '--auth-host=reject', '--locale=C', '--no-instructions',
      ...isBuiltinLocaleKnown ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : [])
    if (!ok) {
      throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED',
        `initdb could not make a cluster in ${clusterDir}:\n${output.trim().split('\n').slice(-15).join('\n')}`)
    }
    await rename(unfinished, clusterDir).catch(error => {
      // Another process was quicker: which of the two may start is decided by the pid file.
      if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
    })
    await syncFolder(dirname(clusterDir))
  } finally {
    await rm(unfinished, { recursive: true, force: true, maxRetries: 5 })
  }
}

// What a start left that was killed during initdb. The pid in the name spares one that is still at work.
async function removeUnfinished (clusterDir: string): Promise<void> {
  const prefix = `${basename(clusterDir)}.new-`
  for (const name of await readdir(dirname(clusterDir))) {
    if (!name.startsWith(prefix)) continue
    const pid = Number.parseInt(name.slice(prefix.length))
    // In a container the same pid comes back at every start: it says nothing about another process.
    if (pid !== process.pid && isAlive(pid)) continue
    // initdb may outlive its parent by a second and write meanwhile, hence the retries.
    await rm(join(dirname(clusterDir), name), { recursive: true, force: true, maxRetries: 20 })
  }
}

async function giveTo (account: Account, folder: string): Promise<void> {
  if (account.identity.uid === undefined || (await stat(folder)).uid === account.uid) return
  // All of it: a cluster that root copied back from a backup belongs to root throughout.
  const { ok, output } = await runAs(ownAccount(), 'chown', '-R', `${account.uid}:${account.gid}`, folder)
  if (!ok) throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED', `cannot give ${folder} to user id ${account.uid}: ${output}`)
}

/** Makes the data folder; one made by root is opened just enough to be passed through. */
export async function makeDataDir (dataDir: string): Promise<void> {
  try {
    const made = await mkdir(dataDir, { recursive: true, mode: 0o711 })
    if (made === undefined) return
    // A strict umask would close it to the user PostgreSQL runs as.
    if (process.getuid?.() === 0) await chmod(dataDir, 0o711)
    await syncFolder(dirname(made))
  } catch (cause) {
    throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED', `cannot make the data folder ${dataDir}: ${String(cause)}`, { cause })
  }
}

async function syncFolder (folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
