import type { Pool } from '../database/pool.ts'
import { RegentError } from '../errors.ts'
import type { QueueOptions } from './queue-options.ts'

export interface QueueConfiguration {
  queue: string
  /** Null: none, or with `merge` what it was. */
  namespace: string | null
  task: string | null
  /** All of them, or with `merge` those to change. */
  options: Partial<QueueOptions>
  /** Leave what is not given as it is, where else the whole configuration is replaced. */
  merge: boolean
}

export interface ConfiguredQueue {
  queueId: number
  /** Of the partition `Default`. */
  partitionId: number
  namespace: string
  task: string
  options: QueueOptions
}

type ConfigureRow = { queue_id: string, partition_id: string, namespace: string, task: string, options: QueueOptions }

/**
 * Create a queue, or configure it anew; messages and cursors stay. Its partition `Default` exists afterwards. From when
 * this resolves every process heeds what it says: pushes that were prepared before are prepared again.
 */
export async function configureQueue (pool: Pool, { queue, namespace, task, options, merge }: QueueConfiguration): Promise<ConfiguredQueue> {
  const [row] = await pool.call<ConfigureRow>((sql, schema) => sql`
    select * from ${schema}.configure_v2(${queue}, ${merge ? namespace : namespace ?? ''}, ${merge ? task : task ?? ''},
      ${JSON.stringify(options)}::text::json, ${merge})`)
  if (row === undefined) throw new RegentError('RGT_INTERNAL')
  return { queueId: Number(row.queue_id), partitionId: Number(row.partition_id), namespace: row.namespace, task: row.task, options: row.options }
}

/** Delete a queue with its partitions, messages, cursors and dead letters. Returns whether there was one. */
export async function deleteQueue (pool: Pool, queue: string): Promise<boolean> {
  const [row] = await pool.call<{ existed: boolean }>((sql, schema) => sql`select ${schema}.delete_queue_v1(${queue}) as existed`)
  return row?.existed === true
}
