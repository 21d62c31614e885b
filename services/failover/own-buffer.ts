import type { FileBuffer } from '../buffer/file-buffer.ts'
import type { Backlog } from './backlog.ts'
import type { BufferedPushes, BufferFigures, BufferRecord } from './buffered-pushes.ts'

/** The file buffer of this process, with what it holds by queue. */
export class OwnBuffer implements BufferedPushes {
  readonly files: FileBuffer
  readonly #backlog: Backlog

  /** @param backlog what opening the files has found in them */
  constructor (files: FileBuffer, backlog: Backlog) {
    this.files = files
    this.#backlog = backlog
  }

  get maxPayloadBytes (): number {
    return this.files.maxPayloadBytes
  }

  get figures (): BufferFigures {
    const { state, bytes, oldestAgeMs, quarantined } = this.files.stats
    return { state, bytes, oldestAgeMs, quarantined, messages: this.#backlog.messages }
  }

  get isEmpty (): boolean {
    return this.#backlog.messages === 0
  }

  /** Queues that may have messages in it. */
  queues (): Iterable<string> {
    return this.#backlog.queues()
  }

  holds (queue: string): boolean {
    return this.#backlog.holds(queue)
  }

  async append ({ payload, queues, messages }: BufferRecord): Promise<void> {
    const { sequence } = await this.files.append(payload)
    this.#backlog.added(sequence, queues, messages)
  }

  /** Everything up to this record has left the buffer, so many messages since the last time; 0, 0: nothing is left in it. */
  drained (sequence: number, messages: number): void {
    this.#backlog.drained(sequence, messages, this.files.stats.records === 0)
  }
}
