/** The parts of V8's CPU profile (\`node --cpu-prof\`) that are used here. */
export interface CpuProfile {
  nodes: { id: number, callFrame: { functionName: string, url: string, lineNumber: number } }[]
  /** Which node was running at each sample. */
  samples: number[]
  /** Microseconds from the sample before, the first from the start. */
  timeDeltas: number[]
  /** By the system's monotonic clock, the same in all processes. */
  startTime: number
}

export interface FunctionTime {
  name: string
  /** File and line, or empty for what is no JavaScript. */
  place: string
  /** Of all time that was not idle. */
  share: number
}

const IDLE = '(idle)'

/**
 * Time in each function itself, without what it calls, over all profiles; the costliest first.
 * @param fromUs samples before that are left out, as are those after `toUs`: a start compiles and migrates
 */
export function selfTimes (profiles: readonly CpuProfile[], fromUs: number, toUs: number): FunctionTime[] {
  const times = new Map<string, { name: string, place: string, time: number }>()
  let total = 0
  for (const { nodes, samples, timeDeltas, startTime } of profiles) {
    let at = startTime
    const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
    for (const [i, id] of samples.entries()) {
      at += timeDeltas[i] ?? 0
      if (at < fromUs || at > toUs) continue
      const frame = frames.get(id)
      // A sample stands for the time until the next one.
      const time = timeDeltas[i + 1] ?? 0
      if (frame === undefined || frame.functionName === IDLE) continue
      const place = placeOf(frame)
      const key = `${frame.functionName} ${place}`
      const known = times.get(key) ?? { name: frame.functionName === '' ? '(anonymous)' : frame.functionName, place, time: 0 }
      known.time += time
      times.set(key, known)
      total += time
    }
  }
  return [...times.values()].sort((a, b) => b.time - a.time).map(({ name, place, time }) => ({ name, place, share: time / total }))
}

/** The same by part of the program: a folder of ours, a package, Node's own modules, native code, the garbage collector. */
export function timesByPart (functions: readonly FunctionTime[]): { part: string, share: number }[] {
  const parts = new Map<string, number>()
  for (const { name, place, share } of functions) {
    const part = partOf(name, place)
    parts.set(part, (parts.get(part) ?? 0) + share)
  }
  return [...parts].map(([part, share]) => ({ part, share })).sort((a, b) => b.share - a.share)
}

function placeOf ({ url, lineNumber }: { url: string, lineNumber: number }): string {
  if (url === '') return ''
  const path = url.replace(/^.*\/node_modules\//, '').replace(/^file:\/\/.*?\/dist\//, '').replace(/^file:\/\//, '')
  return `${path}:${lineNumber + 1}`
}

function partOf (name: string, place: string): string {
  if (place === '') return name === '(garbage collector)' ? 'garbage collector' : 'native code'
  if (place.startsWith('node:')) return 'Node.js'
  const [first = '', second = '', third = ''] = place.split('/')
  if (first.startsWith('@')) return `${first}/${second}`
  return ['services', 'plugins', 'routes'].includes(first) && third !== '' ? `${first}/${second}` : first.replace(/:\d+$/, '')
}
