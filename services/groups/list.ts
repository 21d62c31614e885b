import type { Pool } from '../database/pool.ts'
import { messageId } from '../log/ids.ts'

/** One consumer group of one queue (http-api.md 4.1). Times are UTC with milliseconds. */
export interface GroupSummary {
  name: string
  queueName: string
  topics: string[]
  /** Partitions with a cursor; fewer than the queue has only while the cursors of a new group are being made. */
  members: number
  partitionsWithLag: number
  /** Unread messages, exactly. */
  totalLag: number
  /** Age of the oldest unread message, in seconds; 0 if there is none. */
  maxTimeLag: number
  /** Lagging: maxTimeLag is over 300; Dead: it was never given a message. */
  state: 'Lagging' | 'Stable' | 'Dead'
  /** Null: every message there was, which is no subscription. */
  subscriptionMode: 'new' | 'timestamp' | null
  subscriptionTimestamp: string | null
  subscriptionCreatedAt: string | null
}

/** A partition that a group is behind in; the names are the wire's (http-api.md 4.2). */
export interface LaggingPartition {
  consumer_group: string
  queue_name: string
  partition_name: string
  partition_id: string
  /** The lease that holds it now. */
  worker_id: string | null
  offset_lag: number
  time_lag_seconds: number
  lag_hours: number
  oldest_unconsumed_at: string
  /** When the group last acknowledged something here. */
  last_consumed_at: string | null
}

/** Where a group stands in a partition (http-api.md 4.3). */
export interface GroupPartition {
  partition: string
  /** The last lease, which may have run out, until what it holds is acknowledged. */
  workerId: string | null
  /** When the group last acknowledged something here. */
  lastConsumedAt: string | null
  /**
   * Messages the group has behind it: acknowledged, or skipped by a seek, including those that were deleted since. What a
   * group skipped by starting late counts from its first delivery on.
   */
  totalConsumed: number
  offsetLag: number
  timeLagSeconds: number
  leaseActive: boolean
}

/** A part of a list. */
export interface Page { limit: number, offset: number }

// One call adds up for about so long before it lets others have its connection; the pool's deadline is far off.
const STEP_MS = 1000

interface SummaryRow {
  queue_id: string
  group_id: string
  consumer_group: string
  queue: string
  members: string
  partitions_with_lag: string
  total_lag: string
  max_time_lag: string
  state: GroupSummary['state']
  subscription_mode: GroupSummary['subscriptionMode']
  subscription_timestamp: string | null
  subscription_created_at: string | null
  more: boolean
}

/** Every consumer group of every queue, by group and queue, with its exact lag. Throws what Pool.call throws. */
export async function listGroups (pool: Pool): Promise<GroupSummary[]> {
  const rows: SummaryRow[] = []
  for (let last: SummaryRow | undefined; last === undefined || last.more;) {
    const step = await pool.call<SummaryRow & Record<string, unknown>>((sql, schema) => sql`
      select * from ${schema}.consumer_groups_v1(${last?.queue_id ?? 0}::bigint, ${last?.group_id ?? 0}::bigint, ${STEP_MS}::int)`)
    last = step.at(-1)
    rows.push(...step)
    if (last === undefined) break
  }
  return rows.map(summaryOf).sort((a, b) => compare(a.name, b.name) || compare(a.queueName, b.queueName))
}

function summaryOf (row: SummaryRow): GroupSummary {
  return {
    name: row.consumer_group,
    queueName: row.queue,
    topics: [row.queue],
    members: Number(row.members),
    partitionsWithLag: Number(row.partitions_with_lag),
    totalLag: Number(row.total_lag),
    maxTimeLag: Number(row.max_time_lag),
    state: row.state,
    subscriptionMode: row.subscription_mode,
    subscriptionTimestamp: row.subscription_timestamp,
    subscriptionCreatedAt: row.subscription_created_at
  }
}

function compare (a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

interface LaggingRow {
  consumer_group: string
  queue: string
  partition: string
  partition_id: string
  lease_id: string | null
  unread: string
  seconds: string
  oldest_at: string
  consumed_at: string | null
}

/**
 * Partitions whose oldest unread message is older than `minSeconds`, the most lagging first.
 * @throws what Pool.call throws
 */
export async function listLagging (pool: Pool, minSeconds: number, { limit, offset }: Page): Promise<LaggingPartition[]> {
  const rows = await pool.call<LaggingRow & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.lagging_v1(${minSeconds}::int, ${limit}::int, ${offset}::int)`)
  return rows.map(row => ({
    consumer_group: row.consumer_group,
    queue_name: row.queue,
    partition_name: row.partition,
    partition_id: messageId(Number(row.partition_id), 0),
    worker_id: row.lease_id,
    offset_lag: Number(row.unread),
    time_lag_seconds: Number(row.seconds),
    lag_hours: Math.round(Number(row.seconds) / 36) / 100,
    oldest_unconsumed_at: row.oldest_at,
    last_consumed_at: row.consumed_at
  }))
}

interface PartitionRow {
  queue: string
  partition: string
  lease_id: string | null
  lease_active: boolean
  consumed: string
  unread: string
  seconds: string
  consumed_at: string | null
}

/**
 * The partitions of a group by queue, in order of queue and partition name; empty for an unknown group.
 * @throws what Pool.call throws
 */
export async function describeGroup (pool: Pool, group: string, { limit, offset }: Page): Promise<Map<string, { partitions: GroupPartition[] }>> {
  const rows = await pool.call<PartitionRow & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.consumer_group_v1(${group}, ${limit}::int, ${offset}::int)`)
  const queues = new Map<string, { partitions: GroupPartition[] }>()
  for (const row of rows) {
    let queue = queues.get(row.queue)
    if (queue === undefined) {
      queue = { partitions: [] }
      queues.set(row.queue, queue)
    }
    queue.partitions.push({
      partition: row.partition,
      workerId: row.lease_id,
      lastConsumedAt: row.consumed_at,
      totalConsumed: Number(row.consumed),
      offsetLag: Number(row.unread),
      timeLagSeconds: Number(row.seconds),
      leaseActive: row.lease_active
    })
  }
  return queues
}
