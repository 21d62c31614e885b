import { readFile, readdir } from 'node:fs/promises'

// USER_HZ, which Linux has fixed at 100 for everything it shows to programs.
const TICKS_PER_SECOND = 100

export interface ProcessSample {
  name: string
  parent: number
  /** User and system time; `children` that of its children that have ended and were waited for. */
  cpuSeconds: number
  childrenSeconds: number
}

/** A process as /proc shows it; null where there is no such process, or no /proc. */
export async function readProcess (pid: number): Promise<ProcessSample | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (text === null) return null
  // The name is in parentheses and may hold anything, also parentheses.
  const end = text.lastIndexOf(')')
  const fields = text.slice(end + 2).split(' ').map(Number)
  const seconds = (first: number): number => ((fields[first] ?? 0) + (fields[first + 1] ?? 0)) / TICKS_PER_SECOND
  return { name: text.slice(text.indexOf('(') + 1, end), parent: fields[1] ?? 0, cpuSeconds: seconds(11), childrenSeconds: seconds(13) }
}

/** CPU time of a process with all its children, also of those that have come and gone; null where it cannot be seen. */
export async function readTreeCpu (pid: number): Promise<number | null> {
  let root = await readProcess(pid)
  for (;;) {
    if (root === null) return null
    const children = await childrenOf(pid)
    const again = await readProcess(pid)
    // A child that ends in between would be counted twice or not at all: its time goes over to its parent.
    if (again?.childrenSeconds === root.childrenSeconds) {
      return children.reduce((sum, child) => sum + child.cpuSeconds, again.cpuSeconds + again.childrenSeconds)
    }
    root = again
  }
}

async function childrenOf (pid: number): Promise<(ProcessSample & { pid: number })[]> {
  const names = await readdir('/proc').catch(() => [])
  const all = await Promise.all(names.filter(name => /^\d+$/.test(name)).map(async name => ({ pid: Number(name), sample: await readProcess(Number(name)) })))
  return all.flatMap(({ pid: child, sample }) => sample !== null && sample.parent === pid ? [{ pid: child, ...sample }] : [])
}

/** Resident memory of a process and its children in bytes; null where it cannot be seen. */
export async function readTreeRss (pid: number): Promise<number | null> {
  return await sumOverTree(pid, async one => await readKilobytes(`/proc/${one}/status`, 'VmRSS'))
}

/** How many child processes there are. */
export async function countChildren (pid: number): Promise<number> {
  return (await childrenOf(pid)).length
}

/** Memory of a process and its children, what they share counted once; null where it cannot be seen. */
export async function readTreePss (pid: number): Promise<number | null> {
  return await sumOverTree(pid, async one => await readKilobytes(`/proc/${one}/smaps_rollup`, 'Pss'))
}

async function sumOverTree (pid: number, read: (pid: number) => Promise<number | null>): Promise<number | null> {
  const pids = [pid, ...(await childrenOf(pid)).map(child => child.pid)]
  const sizes = await Promise.all(pids.map(read))
  return sizes[0] === null ? null : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
}

async function readKilobytes (file: string, name: string): Promise<number | null> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const value = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]
  return value === undefined ? null : Number(value) * 1024
}
