import { randomUUID } from 'node:crypto'
import type { Scope } from '../telemetry/scopes.ts'
import type { Delivery, PopRequest } from './types.ts'

/**
 * One waiting pop. It is settled exactly once: with a delivery, empty (null) at its deadline or at shutdown, or not at
 * all because its client has gone.
 */
export class Intention {
  readonly request: PopRequest
  readonly arrivedAt: number
  /** Null without telemetry. */
  readonly scope: Scope | null
  /** 18 hex digits that will end its lease id; also how a claim is found again whose answer was lost. */
  token = newToken()
  #resolve: ((delivery: Delivery | null) => void) | null = null
  #timer: NodeJS.Timeout | null = null

  /** `nowMs` is monotonic. */
  constructor (request: PopRequest, nowMs: number, scope: Scope | null = null) {
    this.request = request
    this.arrivedAt = nowMs
    this.scope = scope
  }

  get isOpen (): boolean {
    return this.#resolve !== null
  }

  /** Begin to wait; `onDeadline` is called once when the time is over and nothing has come. */
  wait (deadlineMs: number, onDeadline: () => void): Promise<Delivery | null> {
    return new Promise(resolve => {
      this.#resolve = resolve
      this.#timer = setTimeout(onDeadline, deadlineMs)
    })
  }

  /** Wait a little longer: an answer is on its way. */
  extend (deadlineMs: number, onDeadline: () => void): void {
    if (this.isOpen) this.#timer = setTimeout(onDeadline, deadlineMs)
  }

  /** Answer it; false when it had been answered or given up before. */
  settle (delivery: Delivery | null): boolean {
    const resolve = this.#resolve
    if (resolve === null) return false
    this.#resolve = null
    if (this.#timer !== null) clearTimeout(this.#timer)
    resolve(delivery)
    return true
  }
}

/** A fresh random lease token. */
export function newToken (): string {
  // Its digits but those that are the same in all: randomUUID fetches its randomness in bulk, for so few bytes ten times as fast.
  const id = randomUUID()
  return id.slice(0, 6) + id.slice(24)
}
