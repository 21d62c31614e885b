import type { Hint } from '../poll/hint.ts'

/**
 * Hints as the text of a NOTIFY: `origin entry entry …`. An entry is `queue.namespace.task.partition.group`, `!queue` for
 * a changed queue, `!*` for all of them, `#` for settings, or `*` for whatever waits.
 */

// PostgreSQL takes payloads below 8000 bytes.
const MAX_PAYLOAD = 7900

/** A hint as an entry. */
export function entryOf (hint: Hint): string {
  if (hint.kind === 'all') return '*'
  if (hint.kind === 'settings') return '#'
  if (hint.kind === 'changed') return `!${hint.queue}`
  return `${hint.queue}.${hint.namespace}.${hint.task}.${hint.partition}.${hint.group}`
}

/** A payload from its sender's id and entries; when they do not fit, coarser ones, then a mere "everything". */
export function encodeEntries (origin: string, entries: ReadonlySet<string>): string {
  const exact = `${origin} ${[...entries].join(' ')}`
  if (exact.length <= MAX_PAYLOAD) return exact
  const coarse = new Set([...entries].map(entry => entry.includes('.') ? entry.split('.').slice(0, 3).join('.') + '..' : entry))
  const shorter = `${origin} ${[...coarse].join(' ')}`
  if (shorter.length <= MAX_PAYLOAD) return shorter
  return [...entries].some(entry => entry.startsWith('!') || entry === '#') ? `${origin} * !*` : `${origin} *`
}

/** Reads a payload. */
export function decodeHints (payload: string): { origin: string, hints: Hint[] } {
  const [origin = '', ...entries] = payload.split(' ')
  const hints = entries.map((entry): Hint => {
    if (entry === '*') return { kind: 'all' }
    if (entry === '#') return { kind: 'settings' }
    if (entry.startsWith('!')) return { kind: 'changed', queue: entry.slice(1) }
    const [queue = '', namespace = '', task = '', partition = '', group = ''] = entry.split('.')
    return { kind: 'available', queue, namespace, task, partition, group }
  })
  return { origin, hints }
}
