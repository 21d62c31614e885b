import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { systemCode } from './errors.ts'

/** True when a process with this id exists, whoever it belongs to. */
export function isAlive (pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}

/** True when the process is a PostgreSQL server of this cluster; true as well when that cannot be ruled out. */
export async function isServerOf (pid: number, clusterDir: string): Promise<boolean> {
  if (!isAlive(pid)) return false
  return existsSync('/proc/self/cwd') ? await isServerByProc(pid, clusterDir) : await isServerByPs(pid, clusterDir)
}

// A server works inside its data folder. Device and inode see through links and bind mounts.
async function isServerByProc (pid: number, clusterDir: string): Promise<boolean> {
  try {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8')
    if (name.trim() !== 'postgres') return false
    const cluster = await stat(clusterDir)
    try {
      const cwd = await stat(`/proc/${pid}/cwd`)
      return cwd.dev === cluster.dev && cwd.ino === cluster.ino
    } catch (error) {
      if (systemCode(error) !== 'EACCES') throw error
      // Hidden from us: only a server of the folder's owner could have the folder open.
      return (await stat(`/proc/${pid}`)).uid === cluster.uid
    }
  } catch (error) {
    // Gone meanwhile, or a zombie: it has no folder any more.
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return false
    throw error
  }
}

// We always start the server with its absolute folder as an argument.
async function isServerByPs (pid: number, clusterDir: string): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)])
    return stdout.includes('postgres') && stdout.includes(clusterDir)
  } catch (error) {
    // ps ends with 1 when there is no such process; without ps nothing is known, so nothing is ruled out.
    return systemCode(error) === 'ENOENT'
  }
}
