import { plainArray } from '../database/literals.ts'
import type { Pool } from '../database/pool.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { messageId } from '../log/ids.ts'
import { readStoredLine } from './stored-message.ts'
import type { DeadLetter, Selection } from './types.ts'

export interface DeadLetterFilter extends Selection {
  /** Bounds of the failure's time, both inclusive, as ISO 8601. */
  from: string | null
  to: string | null
  /** A part of the error's text, in any case. */
  error: string | null
}

interface DeadLetterRow {
  total: string
  id: string | null
  queue: string
  partition_id: string
  partition: string
  consumer_group: string
  position: string
  line: string
  error: string
  retry_count: number
  created_at: string
  failed_at: string
}

/** A page of the dead letters that fit, the newest failure first, and how many fit in all. */
export async function listDeadLetters (pool: Pool, keys: KeyRing, filter: DeadLetterFilter,
  { limit, offset }: { limit: number, offset: number }): Promise<{ deadLetters: DeadLetter[], total: number }> {
  const { ids, queue, partition, group, from, to, error } = filter
  const rows = await pool.call<DeadLetterRow & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.list_dead_letters_v1(${ids === null ? null : plainArray(ids)}::text::bigint[], ${queue}, ${partition}, ${group},
      ${from}::text::timestamptz, ${to}::text::timestamptz, ${error}, ${limit}::int, ${offset}::int)`)
  return {
    total: Number(rows[0]?.total),
    deadLetters: rows.flatMap(({ id, ...row }) => id === null ? [] : [fromRow(keys, id, row)])
  }
}

/** One dead letter; null when there is no such. */
export async function getDeadLetter (pool: Pool, keys: KeyRing, id: string): Promise<DeadLetter | null> {
  const filter = { ids: [id], queue: null, partition: null, group: null, from: null, to: null, error: null }
  return (await listDeadLetters(pool, keys, filter, { limit: 1, offset: 0 })).deadLetters[0] ?? null
}

function fromRow (keys: KeyRing, id: string, row: Omit<DeadLetterRow, 'id'>): DeadLetter {
  const { queue, partition } = row
  const partitionId = Number(row.partition_id)
  const position = Number(row.position)
  return {
    id,
    partitionId,
    position,
    queue,
    partition,
    group: row.consumer_group,
    error: row.error,
    retryCount: row.retry_count,
    createdAt: row.created_at,
    failedAt: row.failed_at,
    ...readStoredLine(keys, { queue, partition, id: messageId(partitionId, position) }, row.line)
  }
}
