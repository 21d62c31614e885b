import { hashId } from '../log/hash.ts'
import type { Available } from '../queue/types.ts'

/**
 * What processes tell one another, short enough for a NOTIFY: names as hashes, since a false match only costs one
 * empty look. An entry is `queue.namespace.task.partition.group` (empty: any), `!queue` a changed or deleted queue, and
 * `*` everything.
 */
export type Hint =
  | { kind: 'available', queue: string, namespace: string, task: string, partition: string, group: string }
  | { kind: 'changed', queue: string }
  | { kind: 'all' }

// PostgreSQL takes payloads below 8000 bytes.
const MAX_PAYLOAD = 7900

/** The short form of a name. */
export function shortName (name: string): string {
  return hashId(name).toString(36)
}

/** The entry for messages that became available. */
export function availableEntry ({ queue, namespace, task, partition, group }: Available): string {
  return [queue, namespace, task].map(shortName).join('.') +
    `.${partition === null ? '' : shortName(partition)}.${group === null ? '' : shortName(group)}`
}

/** The entry for a queue that was configured or deleted. */
export function changedEntry (queue: string): string {
  return `!${shortName(queue)}`
}

/** A payload from its sender's id and entries; coarser entries, then a mere "everything", when they do not fit. */
export function encodeHints (origin: string, entries: ReadonlySet<string>): string {
  const exact = `${origin} ${[...entries].join(' ')}`
  if (exact.length <= MAX_PAYLOAD) return exact
  const coarse = new Set([...entries].map(entry => entry.startsWith('!') ? entry : entry.split('.').slice(0, 3).join('.') + '..'))
  const shorter = `${origin} ${[...coarse].join(' ')}`
  return shorter.length <= MAX_PAYLOAD ? shorter : `${origin} *`
}

/** Reads a payload. */
export function decodeHints (payload: string): { origin: string, hints: Hint[] } {
  const [origin = '', ...entries] = payload.split(' ')
  const hints = entries.map((entry): Hint => {
    if (entry === '*') return { kind: 'all' }
    if (entry.startsWith('!')) return { kind: 'changed', queue: entry.slice(1) }
    const [queue = '', namespace = '', task = '', partition = '', group = ''] = entry.split('.')
    return { kind: 'available', queue, namespace, task, partition, group }
  })
  return { origin, hints }
}
