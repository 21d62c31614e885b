import type { Pool } from '../database/pool.ts'
import { RegentError } from '../errors.ts'

/** Messages by what became of them; per partition those of the group with most of them, then summed. */
export interface Counts {
  total: number
  pending: number
  processing: number
  completed: number
  /** Always 0: a message that failed is either pending again or a dead letter. */
  failed: number
  deadLetter: number
}

/** Which queues are meant: those that fit all that is given; null is not asked for. */
export interface QueueFilter {
  namespace: string | null
  task: string | null
  /** A part of the name, in any case. */
  search: string | null
}

export interface Page { limit: number, offset: number }

export interface QueueSummary {
  id: number
  name: string
  namespace: string
  task: string
  priority: number
  /** UTC with milliseconds. */
  createdAt: string
  leaseSeconds: number
  retryLimit: number
  retryDelayMs: number
  ttlSeconds: number
  maxSize: number
  deadLetterQueue: boolean
  partitions: number
  counts: Counts
  /** Pending and processing, for the group with most of them per partition. */
  unread: number
}

interface QueueRow {
  id: string
  name: string
  namespace: string
  task: string
  priority: number
  created_at: string
  lease_seconds: number
  retry_limit: number
  retry_delay_ms: number
  ttl_seconds: number
  max_size: number
  dead_letter_queue: boolean
  partitions: number
  total: string
  unread: string
  pending: string
  processing: string
  completed: string
  dead_letter: string
  matched: string
}

/** A page of the queues that fit, newest first, and how many fit in all. Throws what Pool.call throws. */
export async function listQueues (pool: Pool, filter: QueueFilter, page: Page): Promise<{ queues: QueueSummary[], total: number }> {
  const rows = await readQueues(pool, null, filter, page)
  if (rows.length === 0 && page.offset > 0) {
    // Beyond the last page nothing tells how many there are.
    const [first] = await readQueues(pool, null, filter, { limit: 1, offset: 0 })
    return { queues: [], total: Number(first?.matched ?? 0) }
  }
  return { queues: rows.map(fromRow), total: Number(rows[0]?.matched ?? 0) }
}

/** One queue. Throws RegentError RGT_QUEUE_UNKNOWN, and what Pool.call throws. */
export async function describeQueue (pool: Pool, name: string): Promise<QueueSummary> {
  const [row] = await readQueues(pool, name, { namespace: null, task: null, search: null }, { limit: 1, offset: 0 })
  if (row === undefined) throw new RegentError('RGT_QUEUE_UNKNOWN')
  return fromRow(row)
}

async function readQueues (pool: Pool, name: string | null, { namespace, task, search }: QueueFilter, { limit, offset }: Page): Promise<QueueRow[]> {
  return await pool.call<QueueRow & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.list_queues_v1(${name}, ${namespace}, ${task}, ${search}, ${limit}::int, ${offset}::int)`)
}

function fromRow (row: QueueRow): QueueSummary {
  return {
    id: Number(row.id),
    name: row.name,
    namespace: row.namespace,
    task: row.task,
    priority: row.priority,
    createdAt: row.created_at,
    leaseSeconds: row.lease_seconds,
    retryLimit: row.retry_limit,
    retryDelayMs: row.retry_delay_ms,
    ttlSeconds: row.ttl_seconds,
    maxSize: row.max_size,
    deadLetterQueue: row.dead_letter_queue,
    partitions: row.partitions,
    counts: countsOf(row),
    unread: Number(row.unread)
  }
}

/** The counts in a row of the database, whose bigints are texts. */
export function countsOf (row: { total: string, pending: string, processing: string, completed: string, dead_letter: string }): Counts {
  return {
    total: Number(row.total),
    pending: Number(row.pending),
    processing: Number(row.processing),
    completed: Number(row.completed),
    failed: 0,
    deadLetter: Number(row.dead_letter)
  }
}
