import type { Available } from '../queue/types.ts'
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
  /** In order of arrival. */
  readonly waiting = new Set<Intention>()
  /** A look is under way. */
  isLooking = false
  /** Something happened while it was: look again. */
  isStale = false
  /** Looks whose answer was lost: what they claimed is given back when due, the last time when none can be under way. */
  lost: { token: string, dueAt: number, isLast: boolean }[] = []
  #timer: NodeJS.Timeout | null = null
  #timerAt = 0

  constructor (key: string, { target, group }: PopRequest) {
    this.key = key
    this.target = target
    this.group = group
  }

  /** Whether an event can mean messages for this spec. */
  matches (event: Available): boolean {
    const { queue, partition, namespace, task } = this.target
    if (event.group !== null && event.group !== this.group) return false
    if (queue === null) return (namespace === null || namespace === event.namespace) && (task === null || task === event.task)
    return queue === event.queue && (partition === null || event.partition === null || partition === event.partition)
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
