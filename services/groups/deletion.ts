import type { Pool } from '../database/pool.ts'
import type { Announce } from './seek.ts'

export interface GroupDeletion {
  group: string
  /** Null: in all its queues. */
  queue: string | null
  /** The group stays with its subscription, and starts again by it. */
  keepsSubscription: boolean
}

/**
 * Delete a consumer group: its cursors and leases. For consumers it is gone at once, queue by queue; the room is freed
 * afterwards by the removals job. A pop that comes later, or waits now, makes the group anew by its own subscription.
 * Its dead letters stay.
 * @returns cursors the group had; 0 for an unknown group
 * @throws what Pool.call throws
 */
export async function deleteGroup (pool: Pool, announce: Announce, { group, queue, keepsSubscription }: GroupDeletion): Promise<number> {
  const queues = queue !== null ? [queue] : await queuesOf(pool, group)
  let deleted = 0
  // One short transaction each: it keeps the queue's row for itself.
  for (const name of queues) {
    const [row] = await pool.call<{ members: string, namespace: string, task: string }>((sql, schema) => sql`
      select * from ${schema}.delete_group_v1(${name}, ${group}, ${keepsSubscription}::boolean)`)
    if (row === undefined) continue
    deleted += Number(row.members)
    // Pops that wait look again, and make the group anew: nothing else would wake them for what it has unread then.
    announce([{ queue: name, namespace: row.namespace, task: row.task, partition: null, group }])
  }
  return deleted
}

async function queuesOf (pool: Pool, group: string): Promise<string[]> {
  const rows = await pool.call<{ name: string }>((sql, schema) => sql`
    select q.name from ${schema}.groups g join ${schema}.queues q on q.id = g.queue_id where g.name = ${group} order by q.name`)
  return rows.map(row => row.name)
}
