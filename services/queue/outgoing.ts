import { randomUUID } from 'node:crypto'
import { hashId } from '../log/hash.ts'
import { contextFields, messageLine, transactionIdOf } from '../log/line.ts'
import { partitionKey } from './partition-directory.ts'
import type { PartitionEntry } from './partition-directory.ts'
import type { NewMessage, Origin, StoredMessage } from './types.ts'

/** A message on its way into the log. */
export interface Outgoing {
  readonly queue: string
  readonly partition: string
  readonly traceId: string | null
  readonly transactionId: string
  /** The transaction id as JSON text. */
  readonly idText: string
  readonly hash: number
  readonly line: string
  /** The line in sealed form, made when it first goes to a queue that encrypts. */
  sealed: string | null
  /** When its request came, on the monotonic clock of this process, in milliseconds. */
  readonly acceptedAt: number
  /** How long ago it was accepted, for what comes from the file buffer: duplicates are judged as of then. */
  ageSeconds: number
  /** Ours: either we made the transaction id, or an earlier attempt may have stored the message. */
  isOurs: boolean
  /** An earlier attempt ended without an answer. */
  mayBeStored: boolean
  /** False after an unknown outcome without a deduplication window: a second attempt might store it twice. */
  isRecognisable: boolean
  /** Positions already confirmed to hold another message in spite of the equal hash. */
  cleared: Set<number> | null
  /** The earlier message of the same call with the same id. */
  duplicateOf: Outgoing | null
  /** Where this call has written it. */
  writtenTo: PartitionEntry | null
  result: StoredMessage | null
}

/** The outgoing messages of one partition, in order. */
export interface OutgoingGroup {
  readonly key: string
  readonly queue: string
  readonly partition: string
  readonly messages: Outgoing[]
}

/** Prepare messages for the log. */
export function prepare (messages: readonly NewMessage[], { producerSub, context: common }: Origin): Outgoing[] {
  const acceptedAt = performance.now()
  const commonFields = contextFields(common)
  return messages.map(({ queue, partition, payload, transactionId: given, traceId, context }) => {
    const transactionId = given ?? randomUUID()
    const idText = JSON.stringify(transactionId)
    const line = messageLine(idText, traceId, producerSub, payload, context === undefined ? commonFields : contextFields(context))
    return begin({ queue, partition, traceId, transactionId, idText, line, sealed: null, acceptedAt, isOurs: given === null })
  })
}

/** A line that was prepared earlier, on its way into the log after all. */
export function prepared ({ queue, partition, line, sealed }: Pick<Outgoing, 'queue' | 'partition' | 'line' | 'sealed'>): Outgoing {
  const idText = transactionIdOf(line)
  // The cast holds: a line begins with its transaction id as a JSON string.
  const transactionId = JSON.parse(idText) as string
  return begin({ queue, partition, traceId: null, transactionId, idText, line, sealed, acceptedAt: performance.now(), isOurs: false })
}

type Beginning = Pick<Outgoing, 'queue' | 'partition' | 'traceId' | 'transactionId' | 'idText' | 'line' | 'sealed' | 'acceptedAt' | 'isOurs'>

/** Written out: spreading costs more than all the rest of it. */
function begin ({ queue, partition, traceId, transactionId, idText, line, sealed, acceptedAt, isOurs }: Beginning): Outgoing {
  return {
    queue,
    partition,
    traceId,
    transactionId,
    idText,
    hash: hashId(transactionId),
    line,
    sealed,
    acceptedAt,
    ageSeconds: 0,
    isOurs,
    mayBeStored: false,
    isRecognisable: true,
    cleared: null,
    duplicateOf: null,
    writtenTo: null,
    result: null
  }
}

/** Group messages by partition, keeping their order. */
export function groupByPartition (messages: Iterable<Outgoing>): Map<string, OutgoingGroup> {
  const groups = new Map<string, OutgoingGroup>()
  let group: OutgoingGroup | undefined
  for (const outgoing of messages) {
    const { queue, partition } = outgoing
    // Neighbours mostly go to the same partition: that is cheaper to see than its key is to make.
    if (group?.partition !== partition || group.queue !== queue) {
      const key = partitionKey(queue, partition)
      group = groups.get(key)
      if (group === undefined) groups.set(key, group = { key, queue, partition, messages: [] })
    }
    group.messages.push(outgoing)
  }
  return groups
}

/** Record where a message stands, or that one with its id stood there before. */
export function settle (outgoing: Outgoing, status: StoredMessage['status'], partitionId: number, position: number): void {
  const { queue, transactionId, traceId } = outgoing
  outgoing.result = { status, queue, transactionId, traceId, partitionId, position }
}
