import { messageId, messageIdPrefix, positionSuffix } from '../services/log/ids.ts'
import type { Delivery, PopRequest } from '../services/poll/types.ts'
import { messagesIn } from '../services/queue/messages-in.ts'

/**
 * The answer with messages, joined from stored lines: no JSON is parsed or printed on the way out. The partition named
 * at the top is the first one's; each message names its own.
 */
export function deliveryText (request: PopRequest, { queue, leaseId, runs }: Delivery): string {
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
      messages.push(`${prefix}${positionSuffix(position)}${middle}"retryCount":${failures},"deliveryCount":${deliveries + 1},${line.slice(1)}`)
    }
  }
  const first = runs[0]
  const partitionText = first === undefined ? '""' : JSON.stringify(first.partition)
  const partitionIdText = first === undefined ? 'null' : `"${messageId(first.partitionId, 0)}"`
  return `{"success":true,"queue":${queueText},"partition":${partitionText},"partitionId":${partitionIdText},"leaseId":"${lease}",` +
    `"consumerGroup":${groupText},"partitionsClaimed":${partitions.size},"messages":[${messages.join(',')}]}`
}

/** The answer when there was nothing in time. */
export function nothingText ({ target, group }: PopRequest): string {
  return JSON.stringify({
    success: true,
    queue: target.queue ?? '',
    partition: target.partition ?? '',
    partitionId: null,
    leaseId: null,
    consumerGroup: group,
    messages: []
  })
}
