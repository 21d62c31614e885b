import type { Pool } from '../database/pool.ts'
import type { QueueOptions } from './queue-options.ts'

export interface QueueConfiguration {
  queue: string
  namespace: string
  task: string
  options: QueueOptions
}

export interface ConfiguredQueue {
  queueId: number
  /** Of the partition `Default`. */
  partitionId: number
}

/** Create a queue, or replace its whole configuration; messages and cursors stay. Its partition `Default` exists afterwards. */
export async function configureQueue (pool: Pool, { queue, namespace, task, options }: QueueConfiguration): Promise<ConfiguredQueue> {
  const [row] = await pool.call<{ queue_id: string, partition_id: string }>((sql, schema) => sql`
    select * from ${schema}.configure_v1(${queue}, ${namespace}, ${task}, ${JSON.stringify(options)}::text::json)`)
  return { queueId: Number(row?.queue_id), partitionId: Number(row?.partition_id) }
}

/** Delete a queue with its partitions, messages, cursors and dead letters. Returns whether there was one. */
export async function deleteQueue (pool: Pool, queue: string): Promise<boolean> {
  const [row] = await pool.call<{ existed: boolean }>((sql, schema) => sql`select ${schema}.delete_queue_v1(${queue}) as existed`)
  return row?.existed === true
}
