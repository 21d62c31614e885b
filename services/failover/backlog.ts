import { readHead } from './record.ts'

/** What is in the file buffer, by queue: which of them new pushes have to queue up behind. */
export class Backlog {
  /** The last record that holds messages of a queue. */
  readonly #lastOf = new Map<string, number>()
  #drainedTo = 0
  #messages = 0

  /** Messages that are not drained; exact unless records were found damaged after the start. */
  get messages (): number {
    return this.#messages
  }

  /** A record was found at the start. What cannot be read is dealt with when its turn comes. */
  recovered ({ sequence, payload }: { sequence: number, payload: Uint8Array }): void {
    try {
      const { queues, messages } = readHead(payload)
      this.added(sequence, queues, messages)
    } catch {
      this.#messages++
    }
  }

  /** A record is in the buffer. */
  added (sequence: number, queues: readonly string[], messages: number): void {
    for (const queue of queues) this.#lastOf.set(queue, Math.max(sequence, this.#lastOf.get(queue) ?? 0))
    this.#messages += messages
  }

  /** Everything up to this record has left the buffer; `isEmpty` when nothing is left in it. */
  drained (sequence: number, messages: number, isEmpty: boolean): void {
    this.#drainedTo = Math.max(this.#drainedTo, sequence)
    this.#messages = isEmpty ? 0 : Math.max(0, this.#messages - messages)
    if (isEmpty) this.#lastOf.clear()
  }

  /** Queues that may have messages in the buffer. */
  queues (): Iterable<string> {
    return this.#lastOf.keys()
  }

  /** Whether messages of this queue are in the buffer. */
  holds (queue: string): boolean {
    const last = this.#lastOf.get(queue)
    if (last === undefined) return false
    if (last > this.#drainedTo) return true
    this.#lastOf.delete(queue)
    return false
  }
}
