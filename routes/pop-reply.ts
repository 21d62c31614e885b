import type { KeyRing } from '../services/encryption/key-ring.ts'
import { isSealed, openLine } from '../services/encryption/sealed-line.ts'
import { messageId, messageIdPrefix, positionSuffix } from '../services/log/ids.ts'
import type { Delivery, PopRequest } from '../services/poll/types.ts'
import { messagesIn } from '../services/queue/messages-in.ts'

const END = ']}'
// A comma, an id's end, the names of two counts and their digits.
const MOST_AROUND_A_MESSAGE = 100

/**
 * The answer with messages, put together from stored lines: no JSON is parsed or printed on the way out, and each message is
 * written to its place in the answer's bytes at once. The partition named at the top is the first one's; each message names
 * its own.
 * @throws RegentError RGT_MESSAGE_UNREADABLE when one of them cannot be decrypted
 */
export function deliveryBytes (keys: KeyRing, request: PopRequest, { queue, leaseId, runs }: Delivery): Buffer {
  const groupText = JSON.stringify(request.group)
  const queueText = JSON.stringify(queue)
  // With autoAck there is no lease, and clients expect an empty text.
  const lease = leaseId ?? ''
  const first = runs[0]
  const partitionText = first === undefined ? '""' : JSON.stringify(first.partition)
  const partitionIdText = first === undefined ? 'null' : `"${messageId(first.partitionId, 0)}"`
  const begin = `{"success":true,"queue":${queueText},"partition":${partitionText},"partitionId":${partitionIdText},"leaseId":"${lease}",` +
    `"consumerGroup":${groupText},"partitionsClaimed":${new Set(runs.map(run => run.partitionId)).size},"messages":[`
  const parts = runs.map(run => ({
    run,
    prefix: `{"id":"${messageIdPrefix(run.partitionId)}`,
    middle: `","createdAt":"${run.createdAt}","partitionId":"${messageId(run.partitionId, 0)}","partition":${JSON.stringify(run.partition)},` +
      `"leaseId":"${lease}","consumerGroup":${groupText},"queue":${queueText},`
  }))
  // At most; what was encrypted is longer as it is stored.
  const bytes = Buffer.allocUnsafe(Buffer.byteLength(begin) + END.length + parts.reduce((sum, { run, prefix, middle }) =>
    sum + Buffer.byteLength(run.body) + (run.last - run.first + 1) * (Buffer.byteLength(prefix) + Buffer.byteLength(middle) + MOST_AROUND_A_MESSAGE), 0))
  let at = bytes.write(begin)
  let comma = ''
  for (const { run, prefix, middle } of parts) {
    for (const { position, line, deliveries, failures } of messagesIn(run)) {
      const plain = isSealed(line) ? openLine(keys, { queue, partition: run.partition, id: messageId(run.partitionId, position) }, line) : line
      at += bytes.write(`${comma}${prefix}${positionSuffix(position)}${middle}"retryCount":${failures},"deliveryCount":${deliveries + 1},${plain.slice(1)}`, at)
      comma = ','
    }
  }
  at += bytes.write(END, at)
  return bytes.subarray(0, at)
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
