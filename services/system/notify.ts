import type { Pool } from '../database/pool.ts'
import type { Available } from '../queue/types.ts'

/** What is to be announced when somebody says that a queue (or one partition of it) has messages: for every group. */
export async function availableIn (pool: Pool, queue: string, partition: string | null): Promise<Available> {
  const [row] = await pool.call<{ namespace: string, task: string }>((sql, schema) => sql`
    select namespace, task from ${schema}.queues where name = ${queue}`)
  return { queue, namespace: row?.namespace ?? '', task: row?.task ?? '', partition, group: null }
}
