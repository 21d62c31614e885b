// What a request may hold, and what is answered beyond it.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { pushIds, take } from '../routes/consumer.ts'
import { startService } from '../support.ts'
import type { Answer } from '../support.ts'
import { isRefused } from './table.ts'

const MOST = 3

function nested (levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels)
}

t.test('what a request may hold', async t => {
  const service = await startService(t, { maxBodyBytes: 100_000, maxItems: MOST, maxDepth: 5, maxBatchSize: 2 })
  const post = async (path: string, body: unknown): Promise<Answer> => await service.call('POST', path, body)
  const items = (count: number): object[] => Array.from({ length: count }, (_, i) => ({ queue: 'items', payload: i }))
  const acks = (count: number): object[] => Array.from({ length: count }, () => ({ transactionId: 'x', partitionId: randomUUID() }))

  t.test('items', async t => {
    for (const [path, body] of [
      ['/api/v1/push', (count: number) => ({ items: items(count) })],
      ['/api/v1/ack/batch', (count: number) => ({ acknowledgments: acks(count) })],
      ['/api/v1/transaction', (count: number) => ({ operations: [{ type: 'push', items: items(count) }] })],
      ['/api/v1/dlq/purge', (count: number) => ({ ids: Array.from({ length: count }, () => '1') })]
    ] as const) {
      isRefused(t, 'maxItems', await post(path, body(MOST + 1)), path)
      const { status, json } = await post(path, body(MOST))
      // Which ids there can be is another matter.
      t.ok(status < 300 || json.field === 'ids[0]', `${path}: as many as may be`)
    }
  })

  t.test('bytes and levels', async t => {
    const push = (payload: string): string => `{"items":[{"queue":"q","payload":${payload}}]}`
    isRefused(t, 'maxBodyBytes', await post('/api/v1/push', push(`"${'x'.repeat(100_000)}"`)))
    t.equal((await post('/api/v1/push', push(`"${'x'.repeat(99_000)}"`))).status, 201)
    isRefused(t, 'maxDepth', await post('/api/v1/push', push(nested(6))))
    t.equal((await post('/api/v1/push', push(nested(5)))).status, 201)
    const envelope = (levels: number): string => `{"queue":"q","extra":${nested(levels - 1)}}`
    isRefused(t, 'nesting around payloads', await post('/api/v1/configure', envelope(65)))
    t.equal((await post('/api/v1/configure', envelope(64))).status, 200)
  })

  t.test('names', async t => {
    isRefused(t, 'names and transaction ids', await post('/api/v1/push', { items: [{ queue: 'q'.repeat(256), payload: 1 }] }))
    isRefused(t, 'names and transaction ids', await post('/api/v1/push', { items: [{ queue: 'q', transactionId: 't'.repeat(256), payload: 1 }] }))
    isRefused(t, 'names and transaction ids', await service.pop('q'.repeat(256)))
    t.equal((await service.pop('q'.repeat(255))).status, 200)
    const trace = { transactionId: 't', partitionId: randomUUID(), data: 1 }
    isRefused(t, 'names of a trace', await post('/api/v1/traces', { ...trace, traceNames: Array.from({ length: 101 }, (_, i) => `n${i}`) }))
  })

  t.test('a batch is cut, and so are lists and the texts of failures', async t => {
    for (const id of ['a', 'b', 'c']) await pushIds(service, 'cut', [id])
    const messages = await take(service, 'cut?batch=99')
    t.same(messages.map(({ data }) => data), ['a', 'b'])
    await post('/api/v1/ack', { ...messages[0], consumerGroup: undefined, status: 'dlq', error: 'e'.repeat(20_000) })
    const { json } = await service.call('GET', '/api/v1/dlq?limit=99999')
    t.equal(json.pagination.limit, 1000)
    t.match(json.messages, [{ transactionId: 'a', errorMessage: 'e'.repeat(10_000) }])
  })

  t.test('figures', async t => {
    isRefused(t, '`seconds` of a lease', await post(`/api/v1/lease/${randomUUID()}/extend`, { seconds: 366 * 86_400 + 1 }))
    isRefused(t, 'points of `/api/v1/status/analytics`', await service.call('GET', '/api/v1/status/analytics?interval=minute&from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z'))
  })

  t.test('a queue', async t => {
    await post('/api/v1/configure', { queue: 'small', options: { maxSize: 1 } })
    await pushIds(service, 'small', ['a'])
    await take(service, 'small')
    isRefused(t, 'messages of a queue with `maxSize`', await service.push([{ queue: 'small', payload: 'b' }]))
  })
})
