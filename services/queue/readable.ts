import type { KeyRing } from '../encryption/key-ring.ts'
import { openLine } from '../encryption/sealed-line.ts'
import { hasCode } from '../errors.ts'
import { messageId } from '../log/ids.ts'
import type { Delivery, Run } from '../poll/types.ts'
import { messagesIn } from './messages-in.ts'

/** A delivery as the partitions of which everything can be decrypted here, and the others; null where there are none. */
export function separateUnreadable (keys: KeyRing, delivery: Delivery): { readable: Delivery | null, unreadable: Delivery | null } {
  const closed = new Set(delivery.runs.filter(run => !isReadable(keys, delivery.queue, run)).map(run => run.partitionId))
  const part = (runs: Run[]): Delivery | null => runs.length === 0 ? null : { ...delivery, runs }
  return {
    readable: part(delivery.runs.filter(run => !closed.has(run.partitionId))),
    unreadable: part(delivery.runs.filter(run => closed.has(run.partitionId)))
  }
}

function isReadable (keys: KeyRing, queue: string, run: Run): boolean {
  try {
    for (const { position, line } of messagesIn(run)) openLine(keys, { queue, partition: run.partition, id: messageId(run.partitionId, position) }, line)
    return true
  } catch (error) {
    if (hasCode(error, 'RGT_MESSAGE_UNREADABLE')) return false
    throw error
  }
}
