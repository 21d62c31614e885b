import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { spawnAs, type Account } from './account.ts'
import { EmbeddedPostgresError } from './errors.ts'
import type { EmbeddedPostgresLog, ExitStatus } from './options.ts'
import { removeSocketFolder, type SocketFolder } from './socket-folder.ts'
import { watch } from './watcher.ts'

// Fast shutdown writes a checkpoint, which takes its time on a slow disk; immediate one needs recovery later.
const STOP_STEPS = [['SIGINT', 20_000], ['SIGQUIT', 5_000], ['SIGKILL', 5_000]] as const

// Held back by one line on stdin, so that the server never runs a moment without its watcher.
const LAUNCHER = 'read -r go && exec "$0" "$@" </dev/null'

export interface SupervisedServer {
  pid: number
  exited: Promise<ExitStatus>
  stop (): Promise<void>
}

export interface SupervisedServerOptions {
  command: string
  args: string[]
  socketFolder: SocketFolder
  logPath: string
  account: Account
  log: EmbeddedPostgresLog
}

/** Starts the server as a direct child, with a watcher that stops it should this process die. */
export async function superviseServer (options: SupervisedServerOptions): Promise<SupervisedServer> {
  const { socketFolder, account, log } = options
  const child = await spawnLauncher(options)
  const ended = new Promise<{ code: number | null, signal: string | null }>(resolve => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    // Somebody may have killed the launcher while its log was being closed.
    if (child.exitCode !== null || child.signalCode !== null) resolve({ code: child.exitCode, signal: child.signalCode })
  })
  const { pid } = child
  const watcher = watch(pid, socketFolder.isTemporary ? socketFolder.path : '', account, log)
  // The launcher may have been killed already; then its exit says so.
  child.stdin?.on('error', () => {})
  child.stdin?.end('go\n')

  let isStopping = false
  let stopped: Promise<void> | undefined
  const exited = finish()

  async function finish (): Promise<ExitStatus> {
    const { code, signal } = await ended
    const expected = isStopping
    await watcher.release()
    if (socketFolder.isTemporary) {
      await removeSocketFolder(socketFolder.path).catch(err => log.warn({ err, folder: socketFolder.path }, 'cannot remove the socket folder'))
    }
    return { expected, code, signal }
  }

  async function stopInSteps (): Promise<void> {
    isStopping = true
    for (const [signal, waitMs] of STOP_STEPS) {
      child.kill(signal)
      if (await endsWithin(exited, waitMs)) return
      log.warn({ pid, signal, waitMs }, 'PostgreSQL did not end in time')
    }
    throw new EmbeddedPostgresError('RGT_EMBEDDED_FAILED', `PostgreSQL with process id ${pid} cannot be stopped`)
  }

  return {
    pid,
    exited,
    stop: async () => await (stopped ??= stopInSteps())
  }
}

async function spawnLauncher ({ command, args, logPath, account }: SupervisedServerOptions): Promise<ChildProcess & { pid: number }> {
  const output = await open(logPath, 'a', 0o600)
  try {
    const child = spawnAs(account, '/bin/sh', ['-c', LAUNCHER, command, ...args], { stdio: ['pipe', output.fd, output.fd] })
    // A child that could not be spawned has no pid and tells why in an event.
    if (child.pid === undefined) throw (await once(child, 'error'))[0]
    return Object.assign(child, { pid: child.pid })
  } finally {
    await output.close()
  }
}

async function endsWithin (ended: Promise<unknown>, waitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>(resolve => { timer = setTimeout(() => resolve(false), waitMs) })
  try {
    return await Promise.race([ended.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
