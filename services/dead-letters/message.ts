import { RegentError } from '../errors.ts'
import { hashId } from '../log/hash.ts'
import { parseAddress } from '../log/ids.ts'
import { redriveDeadLetters } from './redrive.ts'
import type { RedriveContext } from './types.ts'

/** A message as clients name it. */
export interface MessageAddress {
  /** On the wire; what is no partition id of ours is a message not found. */
  partitionId: string
  transactionId: string
}

interface QueueRow { queue: string, namespace: string, task: string, partition: string }

/**
 * Have a message delivered again. One that is dead-lettered is put back (see redriveDeadLetters), once for all groups that
 * have given up on it; for one that waits for its next try the waiting ends. Any other is left as it is.
 * @returns dead letters put back, and the groups whose waiting has ended
 * @throws RegentError RGT_MESSAGE_UNKNOWN
 */
export async function retryMessage (context: RedriveContext, address: MessageAddress): Promise<{ redriven: number, madeAvailable: string[] }> {
  const { partition, hash, idText } = located(address)
  const { pool, announce } = context
  const [dead] = await pool.call<{ ids: string | null }>((sql, schema) => sql`
    select array_to_string(${schema}.dead_letters_of_message_v1(${partition}::bigint, ${idText}), ',') as ids`)
  if (typeof dead?.ids === 'string') {
    const selection = { ids: dead.ids.split(','), queue: null, partition: null, group: null }
    const { redriven } = await redriveDeadLetters(context, selection, Infinity)
    if (redriven > 0) return { redriven, madeAvailable: [] }
  }
  const [row] = await pool.call<QueueRow & { outcome: 'ok' | 'unknown', made_available: string }>((sql, schema) => sql`
    select outcome, queue, namespace, task, partition, array_to_json(made_available)::text as made_available
      from ${schema}.retry_message_v1(${partition}::bigint, ${hash}::bigint, ${idText})`)
  if (row?.outcome !== 'ok') throw new RegentError('RGT_MESSAGE_UNKNOWN')
  const madeAvailable = JSON.parse(row.made_available) as string[] // printed by array_to_json
  announce(madeAvailable.map(group => ({ ...queueOf(row), group })))
  return { redriven: 0, madeAvailable }
}

type MoveOutcome = 'moved' | 'already' | 'acknowledged' | 'off' | 'unknown' | 'unknown_group'

/**
 * Move a message to the dead letters of a consumer group, or (null) of every group that has not acknowledged it. It
 * counts as acknowledged by them from then on, also where it is leased.
 * @returns the groups it was moved for; none when it had been dead-lettered before
 * @throws RegentError RGT_MESSAGE_UNKNOWN, RGT_GROUP_UNKNOWN, RGT_DEAD_LETTERS_OFF, RGT_MESSAGE_ACKNOWLEDGED
 */
export async function moveToDeadLetters ({ pool, announce }: RedriveContext, address: MessageAddress, group: string | null,
  error: string): Promise<string[]> {
  const { partition, hash, idText } = located(address)
  const [row] = await pool.call<QueueRow & { outcome: MoveOutcome, moved: string }>((sql, schema) => sql`
    select outcome, queue, namespace, task, partition, array_to_json(moved)::text as moved
      from ${schema}.move_to_dead_letters_v1(${partition}::bigint, ${hash}::bigint, ${idText}, ${group}, ${error})`)
  switch (row?.outcome) {
    case 'moved':
    case 'already': {
      const moved = JSON.parse(row.moved) as string[] // printed by array_to_json
      // What stood behind the message may be had now.
      announce(moved.map(name => ({ ...queueOf(row), group: name })))
      return moved
    }
    case 'acknowledged': throw new RegentError('RGT_MESSAGE_ACKNOWLEDGED')
    case 'off': throw new RegentError('RGT_DEAD_LETTERS_OFF', { detail: row.queue })
    case 'unknown_group': throw new RegentError('RGT_GROUP_UNKNOWN')
    default: throw new RegentError('RGT_MESSAGE_UNKNOWN')
  }
}

function located ({ partitionId, transactionId }: MessageAddress): { partition: number, hash: number, idText: string } {
  const partition = parseAddress(partitionId)?.partition
  if (partition === undefined) throw new RegentError('RGT_MESSAGE_UNKNOWN')
  return { partition, hash: hashId(transactionId), idText: JSON.stringify(transactionId) }
}

function queueOf ({ queue, namespace, task, partition }: QueueRow): QueueRow {
  return { queue, namespace, task, partition }
}
