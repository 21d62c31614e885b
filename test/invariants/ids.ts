import type { Service } from '../support.ts'
import { pop, positionOf, push } from './support.ts'

export const QUEUE = 'ids'

export interface Pushed { status: string, message_id: string, transaction_id: string }

/** Push messages with these ids; an answer for each. */
export async function pushIds (service: Service, ids: readonly string[], partition = 'Default'): Promise<Pushed[]> {
  return await push(service, ids.map(transactionId => ({ queue: QUEUE, partition, transactionId, payload: { transactionId } })))
}

/** Push through a transaction: another lane of the same instance, over the same windows. */
export async function transactIds (service: Service, ids: readonly string[], partition = 'Default'): Promise<Pushed[]> {
  const items = ids.map(transactionId => ({ queue: QUEUE, partition, transactionId, payload: { transactionId } }))
  const answer = await service.call('POST', '/api/v1/transaction', { operations: [{ type: 'push', items }] })
  if (answer.json?.success !== true) throw new Error(`transaction was answered ${answer.text}`)
  return answer.json.results.map((result: any) => ({ status: result.status, message_id: result.messageId, transaction_id: result.transactionId }))
}

/** What is wrong with these answers: each id is to be stored by exactly one of them, and all are to name the same message. */
export function faultsOf (answers: readonly Pushed[]): string[] {
  const byId = new Map<string, Pushed[]>()
  for (const answer of answers) byId.set(answer.transaction_id, [...byId.get(answer.transaction_id) ?? [], answer])
  return [...byId].flatMap(([id, list]) => {
    const stored = list.filter(answer => answer.status === 'queued').length
    const messages = new Set(list.map(answer => answer.message_id)).size
    return stored === 1 && messages === 1 ? [] : [`${id}: stored ${stored} times, as ${messages} messages`]
  })
}

/** Every message of the queue, in order of position. */
export async function readAll (service: Service): Promise<string[]> {
  const messages = await pop(service, `${QUEUE}?batch=10000&partitions=100&autoAck=true&consumerGroup=reader`)
  return messages.sort((a, b) => a.partition < b.partition ? -1 : a.partition > b.partition ? 1 : positionOf(a) - positionOf(b)).map(message => message.transactionId)
}
