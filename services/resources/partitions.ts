import type { Pool } from '../database/pool.ts'
import { countsOf } from './queues.ts'
import type { Counts, Page, QueueFilter } from './queues.ts'

/** `search` is a part of the partition's name. */
export interface PartitionFilter extends QueueFilter { queue: string | null }

/** Times are UTC with milliseconds. */
export interface PartitionSummary {
  id: number
  name: string
  queue: string
  namespace: string
  task: string
  createdAt: string
  /** When it was last written to; null: never. */
  lastActivity: string | null
  /** Of the messages it holds; null when it holds none. */
  oldestMessage: string | null
  newestMessage: string | null
  counts: Counts
  /** Messages that were acknowledged, of all groups together. */
  consumed: number
}

interface PartitionRow {
  id: string
  name: string
  queue: string
  namespace: string
  task: string
  created_at: string
  last_activity: string | null
  oldest_message: string | null
  newest_message: string | null
  total: string
  pending: string
  processing: string
  completed: string
  dead_letter: string
  consumed: string
  matched: string
}

/** A page of the partitions that fit, by queue and name, and how many fit in all. Throws what Pool.call throws. */
export async function listPartitions (pool: Pool, filter: PartitionFilter, page: Page): Promise<{ partitions: PartitionSummary[], total: number }> {
  const rows = await readPartitions(pool, filter, page)
  if (rows.length === 0 && page.offset > 0) {
    // Beyond the last page nothing tells how many there are.
    const [first] = await readPartitions(pool, filter, { limit: 1, offset: 0 })
    return { partitions: [], total: Number(first?.matched ?? 0) }
  }
  return { partitions: rows.map(fromRow), total: Number(rows[0]?.matched ?? 0) }
}

/** Delete a partition with everything in it; whether there was one. The next push makes it anew. */
export async function deletePartition (pool: Pool, queue: string, partition: string): Promise<boolean> {
  const [row] = await pool.call<{ existed: boolean }>((sql, schema) => sql`select ${schema}.delete_partition_v1(${queue}, ${partition}) as existed`)
  return row?.existed === true
}

async function readPartitions (pool: Pool, { queue, namespace, task, search }: PartitionFilter, { limit, offset }: Page): Promise<PartitionRow[]> {
  return await pool.call<PartitionRow & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.list_partitions_v1(${queue}, ${namespace}, ${task}, ${search}, ${limit}::int, ${offset}::int)`)
}

function fromRow (row: PartitionRow): PartitionSummary {
  return {
    id: Number(row.id),
    name: row.name,
    queue: row.queue,
    namespace: row.namespace,
    task: row.task,
    createdAt: row.created_at,
    lastActivity: row.last_activity,
    oldestMessage: row.oldest_message,
    newestMessage: row.newest_message,
    counts: countsOf(row),
    consumed: Number(row.consumed)
  }
}
