import { plainArray } from '../database/literals.ts'
import type { Pool } from '../database/pool.ts'
import { countDeadLetters } from './redrive.ts'
import type { Selection } from './types.ts'

const STEP_DEAD_LETTERS = 5000
// Clients wait 30 s for an answer. What is left is said, and a further call goes on with it.
const LONGEST_MS = 20_000

/**
 * Delete dead letters for good, the oldest failures first, in bounded transactions and for about 20 s at the most. What
 * somebody else is putting back is left to them, and what fails meanwhile is left alone.
 * @param limit dead letters at the most
 * @returns how many were deleted, and how many of those selected there are now
 */
export async function purgeDeadLetters (pool: Pool, selection: Selection, limit: number): Promise<{ purged: number, remaining: number }> {
  const startedAt = performance.now()
  const { ids, queue, partition, group } = selection
  const { newest } = await countDeadLetters(pool, selection)
  if (newest === null) return { purged: 0, remaining: 0 }
  let purged = 0
  while (purged < limit && performance.now() - startedAt < LONGEST_MS) {
    const step = Math.min(limit - purged, STEP_DEAD_LETTERS)
    const [row] = await pool.call<{ count: number }>((sql, schema) => sql`
      select ${schema}.purge_dead_letters_v1(${ids === null ? null : plainArray(ids)}::text::bigint[], ${queue}, ${partition}, ${group},
        ${newest}::text::bigint, ${step}::int) as count`)
    const count = row?.count ?? 0
    purged += count
    if (count < step) break
  }
  return { purged, remaining: (await countDeadLetters(pool, selection)).total }
}
