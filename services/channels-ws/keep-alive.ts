import { Deadlines } from '../channels/deadlines.ts'
import type { Clock, Deadline } from '../channels/deadlines.ts'

const INTERVAL_MS = 30_000
const MOST_UNANSWERED = 2

export interface Peer {
  /** Its answer cannot arrive. */
  readonly isPaused: boolean
  ping: () => void
  destroy: () => void
}

/**
 * Asks every peer whether it is still there and lets go of those that stay silent. Also keeps proxies, which end
 * connections on which nothing happens, from doing so. One timer for all peers, and none without any.
 */
export class KeepAlive {
  readonly #deadlines: Deadlines
  /** How often each was asked since it was heard of. */
  readonly #peers = new Map<Peer, number>()
  #next: Deadline | null = null

  constructor (clock?: Clock) {
    this.#deadlines = new Deadlines(clock)
  }

  add (peer: Peer): void {
    this.#peers.set(peer, 0)
    this.#next ??= this.#schedule()
  }

  heard (peer: Peer): void {
    this.#peers.set(peer, 0)
  }

  remove (peer: Peer): void {
    this.#peers.delete(peer)
    if (this.#peers.size > 0) return
    this.#deadlines.clear(this.#next)
    this.#next = null
  }

  #schedule (): Deadline {
    return this.#deadlines.set(INTERVAL_MS, () => { this.#ask() })
  }

  #ask (): void {
    this.#next = this.#schedule()
    for (const [peer, asked] of this.#peers) {
      if (asked >= MOST_UNANSWERED) {
        peer.destroy()
      } else {
        this.#peers.set(peer, peer.isPaused ? 0 : asked + 1)
        peer.ping()
      }
    }
  }
}
