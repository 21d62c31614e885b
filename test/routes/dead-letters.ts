import type { Service } from '../support.ts'
import { ackOne, pushIds, take } from './consumer.ts'

/** Push messages with these ids and have a consumer give up on each of them; the dead letters' error is `error`. */
export async function bury (service: Service, queue: string, ids: string[], { partition = 'Default', group, error = 'poison' }:
{ partition?: string, group?: string, error?: string } = {}): Promise<void> {
  await pushIds(service, queue, ids, partition)
  await buryNext(service, queue, ids.length, { partition, error, ...(group === undefined ? {} : { group }) })
}

/** Have a consumer give up on the next messages of a partition. */
export async function buryNext (service: Service, queue: string, count: number, { partition = 'Default', group, error = 'poison' }:
{ partition?: string, group?: string, error?: string } = {}): Promise<void> {
  const messages = await take(service, `${queue}/partition/${partition}?batch=${count}${group === undefined ? '' : `&consumerGroup=${group}`}`)
  if (messages.length !== count) throw new Error(`expected ${count} messages, got ${messages.length}`)
  for (const message of messages) {
    const result = await ackOne(service, message, { status: 'dlq', error })
    if (result.dlq !== true) throw new Error(JSON.stringify(result))
  }
}

/** The dead letters of a queue, the newest failure first; `query` narrows them further. */
export async function deadLetters (service: Service, queue: string, query = ''): Promise<any[]> {
  const answer = await service.call('GET', `/api/v1/dlq?queue=${encodeURIComponent(queue)}&${query}`)
  if (answer.status !== 200) throw new Error(answer.text)
  return answer.json.messages
}
