import type { Pool } from './database/pool.ts'
import { RegentError } from './errors.ts'
import { deleteGroup } from './groups/deletion.ts'
import { listGroups } from './groups/list.ts'
import type { GroupSummary } from './groups/list.ts'
import { seekPartition, seekQueue } from './groups/seek.ts'
import type { SeekTarget } from './groups/seek.ts'
import { fieldError } from './json/field-error.ts'
import { checkName } from './json/names.ts'
import type { Engine } from './queue/engine.ts'

/** What administration works on. */
export interface Administered { engine: Engine, pool: Pool }

/** Consumer groups for embedding code: `app.regent.groups`. */
export class EmbeddedGroups {
  readonly #ready: () => Administered

  constructor (ready: () => Administered) {
    this.#ready = ready
  }

  /** Every group of every queue, with its exact lag. */
  async list (): Promise<GroupSummary[]> {
    return await listGroups(this.#ready().pool)
  }

  /**
   * Move a group's cursors before the first message, behind the last, or behind the last one at or before a time: in all
   * partitions of a queue, or in one.
   * @returns cursors moved; 0 for an unknown group or queue
   * @throws RegentError RGT_PARTITION_UNKNOWN
   */
  async seek (group: string, queue: string, to: 'start' | 'end' | Date, partition?: string): Promise<number> {
    for (const [field, value] of Object.entries({ group, queue, ...(partition === undefined ? {} : { partition }) })) checkName(value, field)
    const { engine, pool } = this.#ready()
    const announce: Engine['announce'] = events => { engine.announce(events) }
    const target = targetOf(to)
    if (partition === undefined) return await seekQueue(pool, announce, queue, group, target)
    const sought = await seekPartition(pool, announce, queue, partition, group, target)
    if (sought === null) throw new RegentError('RGT_PARTITION_UNKNOWN')
    return sought.updated ? 1 : 0
  }

  /** Delete a group, in one queue or in all; its dead letters stay. Returns how many cursors it had. */
  async delete (group: string, queue?: string): Promise<number> {
    checkName(group, 'group')
    if (queue !== undefined) checkName(queue, 'queue')
    const { engine, pool } = this.#ready()
    const deleted = await deleteGroup(pool, events => { engine.announce(events) }, { group, queue: queue ?? null, keepsSubscription: false })
    engine.clearRemovals()
    return deleted
  }
}

function targetOf (to: 'start' | 'end' | Date): SeekTarget {
  if (to === 'start' || to === 'end') return { to }
  if (!(to instanceof Date) || Number.isNaN(to.getTime())) throw fieldError('to', 'type', 'must be "start", "end" or a Date')
  return { to: 'time', time: to.toISOString() }
}
