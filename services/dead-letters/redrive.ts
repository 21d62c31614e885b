import { plainArray } from '../database/literals.ts'
import type { Pool } from '../database/pool.ts'
import { hashId } from '../log/hash.ts'
import { transactionIdOf } from '../log/line.ts'
import type { RedriveContext, Selection } from './types.ts'

// One transaction each: they hold the locks of the partitions they write to.
const STEP_DEAD_LETTERS = 500
const STEP_BYTES = 8 * 1024 * 1024
// Clients wait 30 s for an answer. What is left is said, and a further call goes on with it.
const LONGEST_MS = 20_000

interface WrittenRow { queue: string, namespace: string, task: string, partition: string, redriven: number }

/**
 * Put dead letters back into their queues. Each message goes to the end of its partition as a new one, with the same
 * transaction id, trace id, producer and payload: a log has no other place for it. So all groups of the queue see it
 * again, not only the one that gave up on it. Messages keep their order; the entries that several groups have for one
 * message put it back once.
 *
 * Runs in bounded transactions, and for about 20 s at the most; safe beside other calls of the same kind. What fails
 * meanwhile is left alone.
 * @param limit dead letters at the most, give or take the entries of one message
 * @returns how many dead letters were put back, and how many of those selected there are now
 */
export async function redriveDeadLetters ({ pool, announce }: RedriveContext, selection: Selection,
  limit: number): Promise<{ redriven: number, remaining: number }> {
  const startedAt = performance.now()
  const { newest } = await countDeadLetters(pool, selection)
  if (newest === null) return { redriven: 0, remaining: 0 }
  let redriven = 0
  let after = { partition: '0', position: '0' }
  while (redriven < limit && performance.now() - startedAt < LONGEST_MS) {
    const candidates = await nextCandidates(pool, selection, newest, after, Math.min(limit - redriven, STEP_DEAD_LETTERS))
    const last = candidates.at(-1)
    if (last === undefined) break
    after = { partition: last.partition_id, position: last.position }
    const rows = await pool.call<WrittenRow & Record<string, unknown>>((sql, schema) => sql`
      select * from ${schema}.redrive_v1(${plainArray(candidates.map(({ id }) => id))}::text::bigint[],
        ${plainArray(candidates.map(({ start }) => hashOf(start)))}::text::bigint[])`)
    if (rows.length > 0) announce(rows.map(({ queue, namespace, task, partition }) => ({ queue, namespace, task, partition, group: null })))
    for (const row of rows) redriven += row.redriven
  }
  return { redriven, remaining: (await countDeadLetters(pool, selection)).total }
}

/** How many dead letters fit, and the number of the newest of them. */
export async function countDeadLetters (pool: Pool, { ids, queue, partition, group }: Selection): Promise<{ total: number, newest: string | null }> {
  const [row] = await pool.call<{ total: string, newest: string | null }>((sql, schema) => sql`
    select * from ${schema}.count_dead_letters_v1(${ids === null ? null : plainArray(ids)}::text::bigint[], ${queue}, ${partition}, ${group})`)
  return { total: Number(row?.total), newest: row?.newest ?? null }
}

interface Candidate { id: string, partition_id: string, position: string, start: string }

async function nextCandidates (pool: Pool, { ids, queue, partition, group }: Selection, newest: string,
  after: { partition: string, position: string }, limit: number): Promise<Candidate[]> {
  return await pool.call<Candidate & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.redrive_candidates_v1(${ids === null ? null : plainArray(ids)}::text::bigint[], ${queue}, ${partition}, ${group},
      ${newest}::text::bigint, ${after.partition}::text::bigint, ${after.position}::text::bigint, ${limit}::int, ${STEP_BYTES}::bigint)`)
}

function hashOf (line: string): number {
  // The cast holds: a line begins with its transaction id as a JSON string.
  return hashId(JSON.parse(transactionIdOf(line)) as string)
}
