import type { Pool } from '../database/pool.ts'
import { SEPARATOR, plainArray } from '../database/literals.ts'
import { settle } from './outgoing.ts'
import type { Outgoing } from './outgoing.ts'
import type { PartitionEntry } from './partition-directory.ts'

interface Suspect { entry: PartitionEntry, outgoing: Outgoing, position: number }

/** A group of messages and the partition they go to. */
export interface Target { entry: PartitionEntry, messages: Outgoing[] }

/**
 * Settle every message that has been stored before. Equal hashes only raise a suspicion: whether the message at that
 * position really has this id, and was inside the window when the new one was accepted, is asked of the database, in one call for all.
 * @param found positions the database itself reported for hashes of a partition it checks (no window in memory)
 */
export async function settleDuplicates (pool: Pool, targets: Iterable<Target>, found: ReadonlyMap<string, Map<number, number[]>>): Promise<void> {
  const suspects: Suspect[] = []
  for (const { entry, messages } of targets) {
    if (entry.windowSeconds === 0) continue
    const reported = found.get(entry.key)
    const seen = new Map<string, Outgoing>()
    for (const outgoing of messages) {
      if (outgoing.result !== null || outgoing.duplicateOf !== null) continue
      const earlier = seen.get(outgoing.idText)
      if (earlier !== undefined) {
        outgoing.duplicateOf = earlier
        continue
      }
      seen.set(outgoing.idText, outgoing)
      suspect(outgoing, entry, entry.window?.find(outgoing.hash))
      suspect(outgoing, entry, reported?.get(outgoing.hash))
    }
  }

  function suspect (outgoing: Outgoing, entry: PartitionEntry, positions: readonly number[] = []): void {
    for (const position of positions) if (outgoing.cleared?.has(position) !== true) suspects.push({ entry, outgoing, position })
  }

  if (suspects.length === 0) return
  const rows = await pool.call<{ idx: number, same: boolean }>((sql, schema) => sql`
    select * from ${schema}.confirm_duplicates_v1(${plainArray(suspects.map(s => s.entry.id))}::text::bigint[],
      ${plainArray(suspects.map(s => s.position))}::text::bigint[], ${plainArray(suspects.map(s => s.entry.windowSeconds + s.outgoing.ageSeconds))}::text::int[],
      ${suspects.map(s => s.outgoing.idText).join(SEPARATOR)})`)
  for (const { idx, same } of rows) {
    const suspect = suspects[idx - 1]
    if (suspect === undefined) continue
    const { entry, outgoing, position } = suspect
    if (same) {
      settle(outgoing, outgoing.isOurs ? 'queued' : 'duplicate', entry.id, position)
      // Whoever stored it may not have lived to say so.
      if (outgoing.mayBeStored || outgoing.ageSeconds > 0) outgoing.writtenTo = entry
    } else (outgoing.cleared ??= new Set()).add(position)
  }
}
