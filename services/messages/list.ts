import type { Pool } from '../database/pool.ts'
import type { StoredHead } from '../dead-letters/stored-message.ts'

/** What became of a message: by queue mode where its queue is consumed that way, otherwise by all groups together. */
export const MESSAGE_STATUSES = ['pending', 'processing', 'completed', 'dead_letter'] as const
export type MessageStatus = typeof MESSAGE_STATUSES[number]

/** Which messages are meant: those that fit all that is given; null is not asked for. */
export interface MessageFilter {
  queue: string | null
  partition: string | null
  namespace: string | null
  task: string | null
  status: MessageStatus | null
  /** ISO 8601 or -infinity, inclusive; null: an hour ago, by the database's clock. */
  from: string | null
  /** ISO 8601, inclusive up to the end of its minute. */
  to: string | null
}

/** A message without its payload. */
export interface ListedMessage extends StoredHead {
  partitionId: number
  position: number
  queue: string
  partition: string
  namespace: string
  task: string
  priority: number
  status: MessageStatus
  /** By queue mode alone. */
  queueStatus: MessageStatus
  /** How many named groups have passed it, and how many there are. */
  consumedBy: number
  totalGroups: number
  /** UTC with milliseconds. */
  createdAt: string
  leaseExpiresAt: string | null
}

/** How messages are consumed: in queue mode, by named groups, or both. */
export interface ConsumptionMode {
  hasQueueMode: boolean
  groups: number
}

interface MessageRow {
  partition_id: string
  position: string
  queue: string
  partition: string
  namespace: string
  task: string
  priority: number
  created_at: string
  head: string
  status: MessageStatus
  queue_status: MessageStatus
  consumed_by: number
  total_groups: number
  lease_expires_at: string | null
}

/** A page of the messages that fit, newest first. Throws what Pool.call throws. */
export async function listMessages (pool: Pool, filter: MessageFilter, { limit, offset }: { limit: number, offset: number }): Promise<ListedMessage[]> {
  const { queue, partition, namespace, task, status, from, to } = filter
  const rows = await pool.call<MessageRow & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.list_messages_v1(${queue}, ${partition}, ${namespace}, ${task}, ${status},
      coalesce(${from}::text::timestamptz, clock_timestamp() - interval '1 hour'),
      coalesce(date_trunc('minute', ${to}::text::timestamptz) + interval '1 minute', 'infinity'), ${limit}::int, ${offset}::int)`)
  return rows.map(row => {
    // The cast holds: messageLine (services/log/line.ts) has written these fields.
    const head = JSON.parse(row.head) as StoredHead
    return {
      ...head,
      partitionId: Number(row.partition_id),
      position: Number(row.position),
      queue: row.queue,
      partition: row.partition,
      namespace: row.namespace,
      task: row.task,
      priority: row.priority,
      status: row.status,
      queueStatus: row.queue_status,
      consumedBy: row.consumed_by,
      totalGroups: row.total_groups,
      createdAt: row.created_at,
      leaseExpiresAt: row.lease_expires_at
    }
  })
}

/** How the queues that fit are consumed. */
export async function consumptionMode (pool: Pool, { queue, namespace, task }: Pick<MessageFilter, 'queue' | 'namespace' | 'task'>): Promise<ConsumptionMode> {
  const [row] = await pool.call<{ has_queue_mode: boolean, groups: number }>((sql, schema) => sql`
    select * from ${schema}.message_mode_v1(${queue}, ${namespace}, ${task})`)
  return { hasQueueMode: row?.has_queue_mode === true, groups: row?.groups ?? 0 }
}
