import { shortName } from './hint.ts'
import type { Hint } from './hint.ts'
import type { Intention } from './intention.ts'
import type { PopRequest, Target } from './types.ts'

/**
 * All intentions that want the same thing: the same target for the same group. They share every look at the database
 * and are served in order of arrival.
 */
export class Spec {
  readonly key: string
  readonly target: Target
  readonly group: string
  /** Short names, as hints carry them; empty where not asked for. */
  readonly names: { queue: string, partition: string, namespace: string, task: string, group: string }
  /** In order of arrival. */
  readonly waiting = new Set<Intention>()
  /** A look is under way. */
  isLooking = false
  /** Something happened while it was: look again. */
  isStale = false
  /**
   * When this process learned of messages that have not been looked for yet, and of those that the look under way is for:
   * on the monotonic clock, in milliseconds; null: nobody has said that there are any.
   */
  heardAt: number | null = null
  looksSince: number | null = null
  /** Looks whose answer was lost: what they claimed is given back when due, the last time when none can be under way. */
  lost: { token: string, dueAt: number, isLast: boolean }[] = []
  #timer: NodeJS.Timeout | null = null
  #timerAt = 0

  constructor (key: string, { target, group }: PopRequest) {
    this.key = key
    this.target = target
    this.group = group
    this.names = {
      queue: shortName(target.queue),
      partition: shortName(target.partition),
      namespace: shortName(target.namespace),
      task: shortName(target.task),
      group: shortName(group)
    }
  }

  /** Whether a hint can mean messages for this spec. */
  isMeantBy (hint: Exclude<Hint, { kind: 'all' | 'settings' }>): boolean {
    const { queue, partition, namespace, task, group } = this.names
    // A queue that was relabelled may have come under a label that is waited for.
    if (hint.kind === 'changed') return queue === '' || queue === hint.queue
    if (hint.group !== '' && hint.group !== group) return false
    if (queue === '') return (namespace === '' || namespace === hint.namespace) && (task === '' || task === hint.task)
    return queue === hint.queue && (partition === '' || hint.partition === '' || partition === hint.partition)
  }

  /** Look again after a time, unless a nearer one is set. */
  schedule (delayMs: number, look: () => void): void {
    const at = performance.now() + delayMs
    if (this.#timer !== null && this.#timerAt <= at) return
    this.cancelTimer()
    this.#timerAt = at
    this.#timer = setTimeout(() => {
      this.#timer = null
      look()
    }, delayMs)
  }

  cancelTimer (): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}

/** What makes intentions share a spec. NUL cannot stand in a name. */
export function specKey ({ target, group }: PopRequest): string {
  return [group, target.queue, target.partition, target.namespace, target.task].map(part => part ?? '\0').join('\0\0')
}
