import { hashId } from '../log/hash.ts'
import type { Available } from '../queue/types.ts'

/**
 * What wakes waiting pops, here and in other processes. Names are short hashes, so that many fit into one notification
 * and comparing them is cheap: a false match only costs one empty look. An empty text stands for any.
 */
export type Hint =
  | { kind: 'available', queue: string, namespace: string, task: string, partition: string, group: string }
  /** A queue was configured or deleted; `*`: several were. */
  | { kind: 'changed', queue: string }
  /** A setting of the whole service was changed. */
  | { kind: 'settings' }
  | { kind: 'all' }

/** The short form of a name; empty for none. */
export function shortName (name: string | null): string {
  return name === null ? '' : (hashId(name) % 2 ** 31).toString(36)
}

/** The hint for messages that became available. */
export function hintOf ({ queue, namespace, task, partition, group }: Available): Hint {
  return {
    kind: 'available',
    queue: shortName(queue),
    namespace: shortName(namespace),
    task: shortName(task),
    partition: shortName(partition),
    group: shortName(group)
  }
}
