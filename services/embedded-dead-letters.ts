import { listDeadLetters } from './dead-letters/list.ts'
import { purgeDeadLetters } from './dead-letters/purge.ts'
import { redriveDeadLetters } from './dead-letters/redrive.ts'
import type { DeadLetter, Selection } from './dead-letters/types.ts'
import type { Administered } from './embedded-groups.ts'
import { fieldError } from './json/field-error.ts'
import { checkName } from './json/names.ts'
import { messageId } from './log/ids.ts'

/** Which dead letters are meant: these, or those of a queue, of one of its partitions, of one consumer group. */
export interface DeadLetterSelection {
  ids?: readonly string[]
  queue?: string
  partition?: string
  group?: string
}

/** A message that a consumer group has given up on. */
export interface EmbeddedDeadLetter extends Omit<DeadLetter, 'partitionId' | 'position' | 'data'> {
  messageId: string
  partitionId: string
  /** Null as well when it cannot be decrypted here; then `dataError` says why. */
  data: unknown
}

const ID = /^[1-9]\d{0,17}$/
const DEFAULT_LIMIT = 100
const MOST = 1_000_000

/** Dead letters for embedding code: `app.regent.deadLetters`. */
export class EmbeddedDeadLetters {
  readonly #ready: () => Administered

  constructor (ready: () => Administered) {
    this.#ready = ready
  }

  /** A page of them, the newest failure first, and how many there are in all. */
  async list (selection: DeadLetterSelection = {}, { limit = DEFAULT_LIMIT, offset = 0 }: { limit?: number, offset?: number } = {}):
  Promise<{ deadLetters: EmbeddedDeadLetter[], total: number }> {
    checkCount(limit, 'limit', 1)
    checkCount(offset, 'offset', 0)
    const { engine, pool } = this.#ready()
    const { deadLetters, total } = await listDeadLetters(pool, engine.keys, { ...checked(selection), from: null, to: null, error: null }, { limit, offset })
    return { deadLetters: deadLetters.map(embedded), total }
  }

  /**
   * Put them back to the end of their partitions, as new messages with the same transaction ids; each goes in one
   * transaction. Every consumer group gets them.
   * @returns how many went, and how many are left of those that were meant: call again for them
   */
  async redrive (selection: DeadLetterSelection, limit = MOST): Promise<{ redriven: number, remaining: number }> {
    checkCount(limit, 'limit', 1)
    const { engine, pool } = this.#ready()
    return await redriveDeadLetters({ pool, announce: events => { engine.announce(events) } }, some(selection), limit)
  }

  /** Delete them. Returns as `redrive` does. */
  async purge (selection: DeadLetterSelection, limit = MOST): Promise<{ purged: number, remaining: number }> {
    checkCount(limit, 'limit', 1)
    return await purgeDeadLetters(this.#ready().pool, some(selection), limit)
  }
}

function checked ({ ids, queue, partition, group }: DeadLetterSelection): Selection {
  for (const [field, value] of Object.entries({ queue, partition, group })) if (value !== undefined) checkName(value, field)
  for (const [i, id] of (ids ?? []).entries()) if (!ID.test(id)) throw fieldError(`ids[${i}]`, 'type', 'must be the id of a dead letter')
  return { ids: ids ?? null, queue: queue ?? null, partition: partition ?? null, group: group ?? null }
}

/** What changes dead letters names some of them: all of all queues would be too easily said by mistake. */
function some (selection: DeadLetterSelection): Selection {
  const { ids, queue, ...rest } = checked(selection)
  if (ids === null && queue === null) throw fieldError('queue', 'required', 'or ids are required')
  return { ids, queue, ...rest }
}

function checkCount (value: number, field: string, min: number): void {
  if (!Number.isInteger(value) || value < min || value > MOST) throw fieldError(field, 'range', `must be a whole number between ${min} and ${MOST}`)
}

function embedded ({ partitionId, position, data, ...rest }: DeadLetter): EmbeddedDeadLetter {
  return { ...rest, messageId: messageId(partitionId, position), partitionId: messageId(partitionId, 0), data: data === null ? null : JSON.parse(data) as unknown }
}
