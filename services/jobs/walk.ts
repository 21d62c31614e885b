import type { JobContext } from './runner.ts'

/** What a step of a walk answers: where the next begins, and how much it had to leave because others had locked it. */
export interface WalkStep { missed: number, after: string, after_id: string, is_last: boolean }

// What is locked now is rarely locked a moment later; what always is, is left to the next run.
const MOST_WALKS = 5
const BETWEEN_WALKS_MS = 100

/** Take steps until the walk is over, and walk again while something was missed. */
export async function walk (context: JobContext, step: (after: string, afterId: string) => Promise<WalkStep[]>): Promise<void> {
  for (let walks = 1; walks <= MOST_WALKS; walks++) {
    let missed = 0
    let after = '-infinity'
    let afterId = '0'
    for (;;) {
      const [row] = await step(after, afterId)
      if (row === undefined) break
      missed += row.missed
      if (row.is_last) break
      after = row.after
      afterId = row.after_id
      await context.pause()
    }
    if (missed === 0) return
    await context.pause(BETWEEN_WALKS_MS)
  }
}
