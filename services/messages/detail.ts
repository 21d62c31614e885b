import type { Pool } from '../database/pool.ts'
import { readStoredLine } from '../dead-letters/stored-message.ts'
import type { StoredMessage } from '../dead-letters/stored-message.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { isSealed } from '../encryption/sealed-line.ts'
import { hashId } from '../log/hash.ts'
import { messageId } from '../log/ids.ts'
import type { MessageStatus } from './list.ts'

/** One message with its payload and what became of it. Times are UTC with milliseconds. */
export interface MessageDetail extends StoredMessage {
  partitionId: number
  position: number
  queue: string
  partition: string
  namespace: string
  task: string
  status: MessageStatus
  /** Stored encrypted. */
  isEncrypted: boolean
  createdAt: string
  /** Of its newest dead letter; null when it has none. */
  errorMessage: string | null
  retryCount: number | null
  leaseExpiresAt: string | null
  leaseSeconds: number
  retryLimit: number
  retryDelayMs: number
  ttlSeconds: number
  priority: number
  hasQueueMode: boolean
  /** The named groups of its queue: whether they have passed it, and until when it is leased to them. */
  groups: { name: string, consumed: boolean, leaseExpiresAt: string | null }[]
}

interface DetailRow {
  position: string
  queue: string
  partition: string
  namespace: string
  task: string
  line: string
  created_at: string
  status: MessageStatus
  error_message: string | null
  retry_count: number | null
  lease_expires_at: string | null
  lease_seconds: number
  retry_limit: number
  retry_delay_ms: number
  ttl_seconds: number
  priority: number
  has_queue_mode: boolean
  groups: string
}

/**
 * The newest message with a transaction id in a partition; one that is only left as a dead letter is shown from there.
 * Null: there is none.
 */
export async function describeMessage (pool: Pool, keys: KeyRing, partitionId: number, transactionId: string): Promise<MessageDetail | null> {
  const [row] = await pool.call<DetailRow & Record<string, unknown>>((sql, schema) => sql`
    select position, queue, partition, namespace, task, line, created_at, status, error_message, retry_count, lease_expires_at, lease_seconds,
        retry_limit, retry_delay_ms, ttl_seconds, priority, has_queue_mode, groups::text as groups
      from ${schema}.message_v1(${partitionId}::bigint, ${hashId(transactionId)}::bigint, ${JSON.stringify(transactionId)})`)
  if (row === undefined) return null
  const { queue, partition } = row
  const position = Number(row.position)
  return {
    ...readStoredLine(keys, { queue, partition, id: messageId(partitionId, position) }, row.line),
    partitionId,
    position,
    queue,
    partition,
    namespace: row.namespace,
    task: row.task,
    status: row.status,
    isEncrypted: isSealed(row.line),
    createdAt: row.created_at,
    errorMessage: row.error_message,
    retryCount: row.retry_count,
    leaseExpiresAt: row.lease_expires_at,
    leaseSeconds: row.lease_seconds,
    retryLimit: row.retry_limit,
    retryDelayMs: row.retry_delay_ms,
    ttlSeconds: row.ttl_seconds,
    priority: row.priority,
    hasQueueMode: row.has_queue_mode,
    // The cast holds: message_v1 has built it.
    groups: JSON.parse(row.groups) as MessageDetail['groups']
  }
}
