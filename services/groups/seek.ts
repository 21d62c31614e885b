import type { Pool } from '../database/pool.ts'
import type { Available } from '../queue/types.ts'
import { settleStart } from './start.ts'

/** Where a seek leads: behind the last message, before the first, or behind the last one at or before a time. */
export type SeekTarget = { to: 'end' } | { to: 'start' } | { to: 'time', time: string }

/** Receives what can be had again, so that waiting pops look for it. */
export type Announce = (events: Available[]) => void

// A step locks this many cursors, and keeps pushes to those it calls drained waiting for as long as it takes.
const PARTITIONS_PER_STEP = 1000

interface Place { queue_id: string, group_id: string | null, namespace: string, task: string, first: string | null, last: string | null }
interface Step { moved: number, done_to: string | null, moved_to: string | null }

/**
 * Move a group's cursors in all partitions of a queue. It is done in bounded steps, partition by partition in order of
 * their numbers, while pushes, pops and acknowledgements go on. Leases end: what their holders say about messages that
 * are unread now is refused. Repeating a seek that was broken off is safe.
 * @returns cursors moved; 0 for an unknown group or queue
 * @throws what Pool.call throws
 */
export async function seekQueue (pool: Pool, announce: Announce, queue: string, group: string, target: SeekTarget): Promise<number> {
  const [place] = await pool.call<Place & Record<string, unknown>>((sql, schema) => sql`
    select q.id as queue_id, g.id as group_id, q.namespace, q.task,
           0::bigint as first, (select max(p.id) from ${schema}.partitions p where p.queue_id = q.id) as last
      from ${schema}.queues q join ${schema}.groups g on g.queue_id = q.id and g.name = ${group} where q.name = ${queue}`)
  if (place?.group_id == null) return 0
  await finishSeeding(pool, place.group_id)
  await pool.call((sql, schema) => sql`
    select ${schema}.seek_before_start_v1(${place.group_id}::bigint, ${target.to}, ${timeOf(target)}::text::timestamptz)`)
  let moved = 0
  for (let after = place.first; after !== null;) {
    const step = await seekStep(pool, place, target, after)
    moved += step.moved
    after = step.done_to
    if (step.moved > 0) announce([{ queue, namespace: place.namespace, task: place.task, partition: null, group }])
  }
  return moved
}

/**
 * Move a group's cursor in one partition; otherwise as `seekQueue`. A group that is to start at a time still to come keeps
 * that start, which is one for all partitions: pops skip what was written before it.
 * @returns whether the group had a cursor there, and when the message was written up to which the partition is now read
 *   (null: there is none); null for an unknown partition
 * @throws what Pool.call throws
 */
export async function seekPartition (pool: Pool, announce: Announce, queue: string, partition: string, group: string, target: SeekTarget):
Promise<{ updated: boolean, movedTo: string | null } | null> {
  const [place] = await pool.call<Place & Record<string, unknown>>((sql, schema) => sql`
    select q.id as queue_id, g.id as group_id, q.namespace, q.task, p.id - 1 as first, p.id as last
      from ${schema}.queues q join ${schema}.partitions p on p.queue_id = q.id and p.name = ${partition}
      left join ${schema}.groups g on g.queue_id = q.id and g.name = ${group} where q.name = ${queue}`)
  if (place === undefined) return null
  if (place.group_id !== null) {
    await finishSeeding(pool, place.group_id)
    await settleStart(pool, place.group_id)
  }
  const { moved, moved_to: movedTo } = await seekStep(pool, place, target, place.first)
  if (moved > 0) announce([{ queue, namespace: place.namespace, task: place.task, partition, group }])
  return { updated: moved > 0, movedTo }
}

/** A time as it is understood and shown: UTC with milliseconds. */
export async function wireMillis (pool: Pool, time: string): Promise<string | null> {
  const [row] = await pool.call<{ time: string | null }>((sql, schema) => sql`select ${schema}.wire_millis(${time}::text::timestamptz) as time`)
  return row?.time ?? null
}

/** A new group's cursors are made in steps, by its pops; a seek needs all of them. */
async function finishSeeding (pool: Pool, groupId: string): Promise<void> {
  for (let more = true; more;) {
    const [row] = await pool.call<{ more: boolean }>((sql, schema) => sql`
      select ${schema}.seed_group_waiting_v1(${groupId}::bigint, ${PARTITIONS_PER_STEP}::int) as more`)
    more = row?.more === true
  }
}

function timeOf (target: SeekTarget): string | null {
  return target.to === 'time' ? target.time : null
}

async function seekStep (pool: Pool, place: Place, target: SeekTarget, after: string | null): Promise<Step> {
  const [step] = await pool.call<Step & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.seek_step_v1(${place.queue_id}::bigint, ${place.group_id}::bigint, ${target.to},
      ${timeOf(target)}::text::timestamptz, ${after}::bigint, ${place.last}::bigint, ${PARTITIONS_PER_STEP}::int)`)
  return step ?? { moved: 0, done_to: null, moved_to: null }
}
