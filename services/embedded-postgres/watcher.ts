import { spawn, type ChildProcess } from 'node:child_process'
import type { Account } from './account.ts'
import type { EmbeddedPostgresLog } from './options.ts'

// A watcher that keeps being killed is somebody's decision: do not fight it for ever.
const RESPAWN_LIMIT = 20
const RELEASE_MS = 2_000

// Reads the server's pid, then waits: a line means that all is well, the end of the pipe that this process
// died. Then the server gets a fast shutdown, after 20 s an immediate one, after 25 s the kill.
const SCRIPT = `
trap '' HUP INT TERM
read -r pid || exit 0
if read -r word; then exit 0; fi
kill -INT "$pid" 2>/dev/null
tenths=0
while kill -0 "$pid" 2>/dev/null; do
  tenths=$((tenths + 1))
  case $tenths in 200) kill -QUIT "$pid" ;; 250) kill -KILL "$pid" ;; 300) exit 1 ;; esac
  sleep 0.1
done
if [ -n "$1" ]; then rm -f -- "$1"/.s.PGSQL.*; rmdir -- "$1"; fi
`

export interface Watcher {
  /** Ends the watch; the server is not touched. */
  release (): Promise<void>
}

/**
 * Starts a small shell, apart from this process, that stops the server when this process dies, however it dies.
 * The shell is replaced when it is killed itself.
 */
export function watch (pid: number, socketDirToRemove: string, account: Account, log: EmbeddedPostgresLog): Watcher {
  let isReleased = false
  let respawns = 0
  let current = spawnShell()

  function spawnShell (): { end (): void, kill (): void, ended: Promise<void> } {
    const shell: ChildProcess = spawn('/bin/sh', ['-c', SCRIPT, 'sh', socketDirToRemove], {
      cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'], ...account.identity
    })
    // Writing to a shell that was killed fails; its end is what counts.
    shell.stdin?.on('error', () => {})
    shell.stdin?.write(`${pid}\n`)
    const ended = new Promise<void>(resolve => {
      shell.once('error', error => {
        log.error({ err: error, pid }, 'PostgreSQL would outlive this process: its watcher cannot be started')
        resolve()
      })
      shell.once('exit', (code, signal) => {
        resolve()
        if (isReleased || respawns++ >= RESPAWN_LIMIT) return
        log.warn({ code, signal, pid }, 'the watcher of PostgreSQL ended and is replaced')
        try {
          current = spawnShell()
        } catch (err) {
          log.error({ err, pid }, 'PostgreSQL would outlive this process: its watcher cannot be replaced')
        }
      })
    })
    return { end: () => { shell.stdin?.end('done\n') }, kill: () => { shell.kill('SIGKILL') }, ended }
  }

  return {
    async release () {
      isReleased = true
      current.end()
      const timer = setTimeout(() => current.kill(), RELEASE_MS)
      await current.ended
      clearTimeout(timer)
    }
  }
}
