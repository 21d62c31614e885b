import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { EmbeddedPostgresError } from './errors.ts'
import type { EmbeddedPostgresLog } from './options.ts'

// "nobody" on every Linux distribution. initdb looks its own uid up, so a free number would not do.
const UNPRIVILEGED_ID = 65534

/** The operating system user PostgreSQL runs as: it refuses to run as root. */
export interface Account {
  uid: number
  gid: number
  /** What spawn() needs to become this user; empty when this process already is that user. */
  identity: { uid?: number, gid?: number }
  /** A command that becomes this user instead of `identity`, used when folders are closed to it. */
  prefix: readonly string[]
}

/** The user of this process, with all its rights. */
export function ownAccount (): Account {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, identity: {}, prefix: [] }
}

/** Starts a command as the account, in its own session so that a terminal's ^C does not reach it. */
export function spawnAs (account: Account, command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const [first = command, ...rest] = [...account.prefix, command, ...args]
  const identity = account.prefix.length === 0 ? account.identity : {}
  // LC_ALL keeps the messages in English: some are recognised. Nothing secret in the environment is passed on.
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' }
  return spawn(first, rest, { cwd: '/', env, detached: true, ...identity, ...options })
}

/** Runs a command as the account to its end; `output` is stdout and stderr together. */
export async function runAs (account: Account, command: string, ...args: string[]): Promise<{ ok: boolean, output: string }> {
  try {
    const child = spawnAs(account, command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk: Buffer): void => { output += chunk.toString() }
    child.stdout?.on('data', collect)
    child.stderr?.on('data', collect)
    return await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', code => resolve({ ok: code === 0, output }))
    })
  } catch (error) {
    return { ok: false, output: String(error) }
  }
}

/** The outermost folder on the way to `folder` (itself included) that the account may not enter. */
export async function findClosedFolder (account: Account, folder: string): Promise<string | undefined> {
  const steps: string[] = []
  for (let at = folder; at !== dirname(at); at = dirname(at)) steps.unshift(at)
  // Only trying tells: access lists and mount options count as much as mode bits.
  const script = 'for d do cd -- "$d" 2>/dev/null || { printf %s "$d"; exit 1; }; done'
  const { ok, output } = await runAs(account, '/bin/sh', '-c', script, 'sh', ...steps)
  return ok ? undefined : output || folder
}

/** Chooses the user to run as, and makes sure that the data folder can be reached by it. */
export async function chooseAccount (dataDir: string, clusterDir: string, log: EmbeddedPostgresLog): Promise<Account> {
  const own = ownAccount()
  const owner = await stat(clusterDir).catch(() => undefined)
  if (own.uid !== 0) {
    if (owner !== undefined && owner.uid !== own.uid) {
      throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED',
        `${clusterDir} belongs to user id ${owner.uid}, this process runs as ${own.uid}: run it as that user or as root, ` +
        'give the folder to this user (chown -R), or choose another data folder')
    }
    return own
  }

  // A cluster made by an ordinary user stays theirs, so that they can start it again without root.
  const plain = owner === undefined || owner.uid === 0
    ? accountOf(UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    : accountOf(owner.uid, owner.gid)
  const change = await runAs(plain, '/bin/sh', '-c', ':')
  if (!change.ok) {
    throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED',
      `PostgreSQL cannot run as root, and this process may not become user id ${plain.uid} (${change.output}): ` +
      'run it as an ordinary user, or set DATABASE_URL')
  }
  const closed = await findClosedFolder(plain, dataDir)
  if (closed === undefined) return plain
  const reaching = withSearchRight(plain)
  if (await findClosedFolder(reaching, dataDir) === undefined) {
    log.info({ folder: closed, uid: plain.uid }, 'folder closed to the PostgreSQL user: it runs with the right to search and read folders')
    return reaching
  }
  throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED',
    `PostgreSQL cannot run as root, and ${closed} is closed to user id ${plain.uid} it runs as instead: ` +
    `choose a data folder outside of it, open it (chmod o+x ${closed}), run as an ordinary user, or set DATABASE_URL`)
}

function accountOf (uid: number, gid: number): Account {
  return { uid, gid, identity: { uid, gid }, prefix: [] }
}

// Root's own home is closed on most systems. One capability opens it for reading; no_setuid_fixup
// is needed because access(2), with which PostgreSQL finds its own files, else ignores capabilities.
function withSearchRight (account: Account): Account {
  const prefix = ['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups',
    '--securebits=+no_setuid_fixup', '--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search', '--']
  return { ...account, prefix }
}
