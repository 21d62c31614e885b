import type { Pool } from '../database/pool.ts'

/**
 * Change from when a group wants messages, in all its queues. It matters where the group has not started yet: cursors do
 * not move. Queue mode has no subscription.
 * @param since an ISO 8601 time
 * @returns in how many queues there is such a group
 * @throws what Pool.call throws
 */
export async function updateSubscription (pool: Pool, group: string, since: string): Promise<number> {
  const [row] = await pool.call<{ updated: number }>((sql, schema) => sql`
    select ${schema}.update_subscription_v1(${group}, ${since}::text::timestamptz) as updated`)
  return row?.updated ?? 0
}
