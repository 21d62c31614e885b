import type { Caller } from '../database/pool.ts'
import type { Log } from '../queue/types.ts'

/** Rows per step: a step takes some ten milliseconds. */
export const REMOVAL_STEP_ROWS = 1000

/** Clear some of what was deleted queues, partitions and groups have left behind; how many rows went, 0 once all is done. */
export async function removalStep (caller: Caller): Promise<number> {
  const [row] = await caller.call<{ gone: number }>((sql, schema) => sql`select ${schema}.removal_step_v1(${REMOVAL_STEP_ROWS}::int) as gone`)
  return row?.gone ?? 0
}

/**
 * Clears up after deletions in the background, so that nobody who deletes waits for it. What a crash leaves is cleared
 * by the retention job.
 */
export class Removals {
  readonly #caller: Caller
  readonly #log: Log
  #work: Promise<void> | null = null
  #isAskedAgain = false
  #isClosed = false

  constructor (caller: Caller, log: Log) {
    this.#caller = caller
    this.#log = log
  }

  /** Something was deleted: clear it. Returns at once and never throws. */
  kick (): void {
    this.#isAskedAgain = true
    this.#work ??= this.#clear()
  }

  /** Ends after the step that is under way. */
  async close (): Promise<void> {
    this.#isClosed = true
    await this.#work
  }

  async #clear (): Promise<void> {
    try {
      while (this.#isAskedAgain) {
        this.#isAskedAgain = false
        while (!this.#isClosed && await removalStep(this.#caller) > 0);
      }
    } catch (error) {
      if (!this.#isClosed) this.#log.warn({ err: error }, 'clearing up after a deletion failed and is left to the retention job')
    } finally {
      // At once: a kick that comes after the last look must find no work going on.
      this.#work = null
    }
  }
}
