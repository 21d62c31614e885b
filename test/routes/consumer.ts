import type postgres from 'postgres'
import type { Service } from '../support.ts'

/** A delivered message, as it came over the wire. */
export interface Message {
  id: string
  transactionId: string
  partitionId: string
  partition: string
  queue: string
  leaseId: string
  consumerGroup: string
  createdAt: string
  retryCount: number
  deliveryCount: number
  data: any
  traceId: string | null
  producerSub: string | null
}

/** Long enough for any machine; a test that waits this long has failed. */
export const PATIENT = 'wait=true&timeout=15000'

/** Push messages whose transaction ids are also their payloads, to one partition. */
export async function pushIds (service: Service, queue: string, ids: string[], partition = 'Default'): Promise<void> {
  const answer = await service.push(ids.map(id => ({ queue, partition, transactionId: id, payload: id })))
  if (answer.status !== 201) throw new Error(answer.text)
}

/** The messages of one pop, `path` being what follows /api/v1/pop/queue/. */
export async function take (service: Service, path: string): Promise<Message[]> {
  const answer = await service.pop(path)
  if (answer.status !== 200) throw new Error(answer.text)
  return answer.json.messages
}

/** The transaction ids of one pop. */
export async function takeIds (service: Service, path: string): Promise<string[]> {
  return (await take(service, path)).map(message => message.transactionId)
}

/** The one message a pop must bring. */
export async function takeOne (service: Service, path: string): Promise<Message> {
  const messages = await take(service, path)
  const [message] = messages
  if (message === undefined || messages.length > 1) throw new Error(`expected one message, got ${messages.length}`)
  return message
}

export interface Word { message: Pick<Message, 'transactionId' | 'partitionId' | 'leaseId'>, status?: string, error?: string }

/** Acknowledge in one batch, each message with its own status; the results. */
export async function ackBatch (service: Service, words: Word[], consumerGroup?: string): Promise<any[]> {
  const acknowledgments = words.map(({ message: { transactionId, partitionId, leaseId }, ...rest }) => ({ transactionId, partitionId, leaseId, ...rest }))
  const answer = await service.call('POST', '/api/v1/ack/batch', { acknowledgments, consumerGroup })
  if (answer.status !== 200) throw new Error(answer.text)
  return answer.json
}

/** Acknowledge one message; its result. */
export async function ackOne (service: Service, { transactionId, partitionId, leaseId, consumerGroup }: Message, fields: object = {}): Promise<any> {
  const answer = await service.call('POST', '/api/v1/ack', { transactionId, partitionId, leaseId, consumerGroup, ...fields })
  if (answer.status !== 200) throw new Error(answer.text)
  return answer.json[0]
}

/** Create a queue or replace its options. */
export async function configure (service: Service, queue: string, options: object): Promise<void> {
  const answer = await service.call('POST', '/api/v1/configure', { queue, options })
  if (answer.status !== 200) throw new Error(answer.text)
}

/** Let every lease of a queue run out now instead of waiting for its end. */
export async function expireLeases (sql: postgres.Sql, queue: string): Promise<void> {
  await sql`
    update regent.cursors c set available_at = clock_timestamp() - interval '1 millisecond'
      from regent.partitions p join regent.queues q on q.id = p.queue_id
      where p.id = c.partition_id and q.name = ${queue} and c.lease_id is not null`
}
