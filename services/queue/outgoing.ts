import { randomUUID } from 'node:crypto'
import { hashId } from '../log/hash.ts'
import { messageLine } from '../log/line.ts'
import { partitionKey } from './partition-directory.ts'
import type { PartitionEntry } from './partition-directory.ts'
import type { NewMessage, PushResult } from './types.ts'

/** A message on its way into the log. */
export interface Outgoing {
  readonly message: NewMessage
  readonly transactionId: string
  /** The transaction id as JSON text. */
  readonly idText: string
  readonly hash: number
  readonly line: string
  /** The line in sealed form, made when it first goes to a queue that encrypts. */
  sealed: string | null
  /** Ours: either we made the transaction id, or an earlier attempt may have stored the message. */
  isOurs: boolean
  /** False after an unknown outcome without a deduplication window: a second attempt might store it twice. */
  isRecognisable: boolean
  /** Positions already confirmed to hold another message in spite of the equal hash. */
  cleared: Set<number> | null
  /** The earlier message of the same call with the same id. */
  duplicateOf: Outgoing | null
  /** Where this call has written it. */
  writtenTo: PartitionEntry | null
  result: PushResult | null
}

/** The outgoing messages of one partition, in order. */
export interface OutgoingGroup {
  readonly key: string
  readonly queue: string
  readonly partition: string
  readonly messages: Outgoing[]
}

/** Prepare messages for the log. `producerSub` is the verified identity of the producer, if there is one. */
export function prepare (messages: readonly NewMessage[], producerSub: string | null): Outgoing[] {
  return messages.map(message => {
    const transactionId = message.transactionId ?? randomUUID()
    const idText = JSON.stringify(transactionId)
    return {
      message,
      transactionId,
      idText,
      hash: hashId(transactionId),
      line: messageLine(idText, message.traceId, producerSub, message.payload),
      sealed: null,
      isOurs: message.transactionId === null,
      isRecognisable: true,
      cleared: null,
      duplicateOf: null,
      writtenTo: null,
      result: null
    }
  })
}

/** Group messages by partition, keeping their order. */
export function groupByPartition (messages: Iterable<Outgoing>): Map<string, OutgoingGroup> {
  const groups = new Map<string, OutgoingGroup>()
  for (const outgoing of messages) {
    const { queue, partition } = outgoing.message
    const key = partitionKey(queue, partition)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { key, queue, partition, messages: [outgoing] })
    else group.messages.push(outgoing)
  }
  return groups
}

/** Record where a message stands, or that one with its id stood there before. */
export function settle (outgoing: Outgoing, status: PushResult['status'], partitionId: number, position: number): void {
  const { queue, traceId } = outgoing.message
  outgoing.result = { status, queue, transactionId: outgoing.transactionId, traceId, partitionId, position }
}
