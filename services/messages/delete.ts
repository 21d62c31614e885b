import type { Pool } from '../database/pool.ts'
import { RegentError } from '../errors.ts'
import { hashId } from '../log/hash.ts'
import type { Available } from '../queue/types.ts'

export interface DeletionContext {
  pool: Pool
  /** Wakes parked pops. */
  announce: (events: Available[]) => void
}

interface DeletedRow {
  deleted: boolean
  queue: string
  namespace: string
  task: string
  partition: string
  available: boolean
}

/** Partitions cleared in one transaction, which pushes to them wait for. */
const PARTITIONS_PER_STEP = 50
/** Messages with one transaction id that one request deletes. */
const MOST_COPIES = 1000
/** Segments deleted in one transaction: about a tenth of a second. */
const SEGMENTS_PER_STEP = 2000

/**
 * Delete what a partition holds under a transaction id, with its dead letters and traces: no group is given it any more,
 * and the id is free. That may be several messages: one that was put back from the dead letters stands beside the original,
 * and an id may be used again after its deduplication window. Who holds one leased may still acknowledge it.
 * @returns whether there was one, or a dead letter of one
 * @throws what Pool.call throws
 */
export async function deleteMessage ({ pool, announce }: DeletionContext, partitionId: number, transactionId: string): Promise<boolean> {
  for (let copies = 0; ; copies++) {
    const [row] = await pool.call<DeletedRow & Record<string, unknown>>((sql, schema) => sql`
      select * from ${schema}.delete_message_v1(${partitionId}::bigint, ${hashId(transactionId)}::bigint, ${JSON.stringify(transactionId)})`)
    if (row?.available === true) {
      const { queue, namespace, task, partition } = row
      announce([{ queue, namespace, task, partition, group: null }])
    }
    // Somebody may be pushing it again and again.
    if (row?.deleted !== true || copies === MOST_COPIES) return copies > 0 || row?.deleted === true
  }
}

/**
 * Delete all messages of a queue, or of one partition of it. The queue, its partitions and groups stay; the groups are
 * through with everything. Dead letters stay. What is pushed meanwhile may stay as well.
 * @returns how many messages there were
 * @throws RegentError RGT_QUEUE_UNKNOWN, RGT_PARTITION_UNKNOWN; what Pool.call throws: then some of it may be done
 */
export async function clearQueue (pool: Pool, queue: string, partition: string | null): Promise<number> {
  let cleared = 0
  let after: string | null = '0'
  while (after !== null) {
    const from: string = after
    const [row] = await pool.call<{ known: boolean, cleared: string, next: string | null }>((sql, schema) => sql`
      select * from ${schema}.clear_partitions_v1(${queue}, ${partition}, ${from}::text::bigint, ${PARTITIONS_PER_STEP}::int)`)
    if (row?.known !== true) throw new RegentError(await hasQueue(pool, queue) ? 'RGT_PARTITION_UNKNOWN' : 'RGT_QUEUE_UNKNOWN')
    cleared += Number(row.cleared)
    after = row.next
    while (await dropSegments(pool, queue, partition, from, after) === SEGMENTS_PER_STEP);
  }
  return cleared
}

/** Free the room of what was cleared in a range of partitions; how many segments went. */
async function dropSegments (pool: Pool, queue: string, partition: string | null, after: string, to: string | null): Promise<number> {
  const [row] = await pool.call<{ gone: number }>((sql, schema) => sql`
    select ${schema}.drop_cleared_v1(${queue}, ${partition}, ${after}::text::bigint, ${to}::text::bigint, ${SEGMENTS_PER_STEP}::int) as gone`)
  return row?.gone ?? 0
}

async function hasQueue (pool: Pool, queue: string): Promise<boolean> {
  return (await pool.call((sql, schema) => sql`select from ${schema}.queues where name = ${queue}`)).length > 0
}
