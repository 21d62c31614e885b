import type { KeyRing } from '../services/encryption/key-ring.ts'
import { isSealed, openLine } from '../services/encryption/sealed-line.ts'
import { messageId, messageIdPrefix, positionSuffix } from '../services/log/ids.ts'
import type { Delivery, PopRequest } from '../services/poll/types.ts'
import { messagesIn } from '../services/queue/messages-in.ts'

/**
 * The answer with messages, joined from stored lines: no JSON is parsed or printed on the way out. The partition named
 * at the top is the first one's; each message names its own.
 * @throws RegentError RGT_MESSAGE_UNREADABLE when one of them cannot be decrypted
 */
export function deliveryText (keys: KeyRing, request: PopRequest, { queue, leaseId, runs }: Delivery): string {
  const groupText = JSON.stringify(request.group)
  const queueText = JSON.stringify(queue)
  // With autoAck there is no lease, and clients expect an empty text.
  const lease = leaseId ?? ''
  const messages: string[] = []
  const partitions = new Set<number>()
  for (const run of runs) {
    partitions.add(run.partitionId)
    const prefix = `{"id":"${messageIdPrefix(run.partitionId)}`
    const middle = `","createdAt":"${run.createdAt}","partitionId":"${messageId(run.partitionId, 0)}","partition":${JSON.stringify(run.partition)},` +
      `"leaseId":"${lease}","consumerGroup":${groupText},"queue":${queueText},`
    for (const { position, line, deliveries, failures } of messagesIn(run)) {
      const plain = isSealed(line) ? openLine(keys, { queue, partition: run.partition, id: messageId(run.partitionId, position) }, line) : line
      messages.push(`${prefix}${positionSuffix(position)}${middle}"retryCount":${failures},"deliveryCount":${deliveries + 1},${plain.slice(1)}`)
    }
  }
  const first = runs[0]
  const partitionText = first === undefined ? '""' : JSON.stringify(first.partition)
  const partitionIdText = first === undefined ? 'null' : `"${messageId(first.partitionId, 0)}"`
  return `{"success":true,"queue":${queueText},"partition":${partitionText},"partitionId":${partitionIdText},"leaseId":"${lease}",` +
    `"consumerGroup":${groupText},"partitionsClaimed":${partitions.size},"messages":[${messages.join(',')}]}`
}

/** The answer when there was nothing in time, or `isPaused`: pops are held. */
export function nothingText ({ target, group }: PopRequest, isPaused: boolean): string {
  return JSON.stringify({
    success: true,
    queue: target.queue ?? '',
    partition: target.partition ?? '',
    partitionId: null,
    leaseId: null,
    consumerGroup: group,
    messages: [],
    ...(isPaused ? { paused: true } : {})
  })
}
