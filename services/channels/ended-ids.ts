import type { Id } from './wire.ts'

const REMEMBERED = 1024

/** The latest requests of a client that are over, so that their late frames are told from those of unknown ones. */
export class EndedIds {
  readonly #ids = new Set<Id>()
  readonly #order: Id[] = []
  #next = 0

  has (id: Id): boolean {
    return this.#ids.has(id)
  }

  add (id: Id): void {
    if (this.#ids.has(id)) return
    const oldest = this.#order[this.#next]
    if (oldest !== undefined) this.#ids.delete(oldest)
    this.#order[this.#next] = id
    this.#next = (this.#next + 1) % REMEMBERED
    this.#ids.add(id)
  }
}
