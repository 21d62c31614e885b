import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent from '../index.ts'
import { createDatabase } from './support.ts'

async function makeApp (t: Test): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(regent, { databaseUrl: await createDatabase(t) })
  await app.ready()
  return app
}

t.test('embedding code sees how far groups are behind, moves and deletes them', async t => {
  const { regent: queue } = await makeApp(t)
  await queue.push(['a', 'b', 'c'].map(payload => ({ queue: 'q', partition: payload === 'c' ? 'other' : 'Default', payload })))
  const take = async (): Promise<unknown[]> => (await queue.pop({ queue: 'q', group: 'g', batch: 10, partitions: 10, autoAck: true })).map(message => message.data)
  t.same((await take()).sort(), ['a', 'b', 'c'])
  t.match(await queue.groups.list(), [{ name: 'g', queueName: 'q', members: 2, totalLag: 0 }])
  t.equal(await queue.groups.seek('g', 'q', 'start'), 2)
  t.match(await queue.groups.list(), [{ name: 'g', totalLag: 3, partitionsWithLag: 2 }])
  t.equal(await queue.groups.seek('g', 'q', 'end', 'other'), 1)
  t.same(await take(), ['a', 'b'])
  t.equal(await queue.groups.seek('g', 'q', new Date(0)), 2)
  t.equal((await take()).length, 3)
  t.equal(await queue.groups.seek('unknown', 'q', 'end'), 0)
  t.equal(await queue.groups.delete('g', 'elsewhere'), 0)
  t.equal(await queue.groups.delete('g'), 2)
  t.same(await queue.groups.list(), [])
  await t.rejects(queue.groups.seek('g', 'q', 'end', 'nowhere'), { code: 'RGT_PARTITION_UNKNOWN' })
  await t.rejects(queue.groups.seek('g', '', 'end'), { name: 'FieldError', field: 'queue' })
  await t.rejects(queue.groups.seek('g', 'q', new Date(Number.NaN)), { name: 'FieldError', field: 'to' })
  await t.rejects(queue.groups.delete(''), { name: 'FieldError', field: 'group' })
})

t.test('embedding code looks at dead letters, puts them back and purges them', async t => {
  const { regent: queue } = await makeApp(t)
  await queue.configure('q', { retryLimit: 0 })
  await queue.push([1, 2, 3].map(n => ({ queue: 'q', payload: { n }, transactionId: `m${n}` })))
  const messages = await queue.pop({ queue: 'q', batch: 3 })
  await queue.ack(messages, 'failed', 'no use')
  const { deadLetters, total } = await queue.deadLetters.list({ queue: 'q' })
  t.equal(total, 3)
  t.match(deadLetters.find(({ transactionId }) => transactionId === 'm2'), { queue: 'q', group: '__QUEUE_MODE__', error: 'no use', data: { n: 2 }, messageId: messages[1]?.id })
  t.equal((await queue.deadLetters.list({}, { limit: 1, offset: 1 })).deadLetters.length, 1)
  const [one] = deadLetters
  t.match(await queue.deadLetters.redrive({ ids: [one?.id ?? ''] }), { redriven: 1, remaining: 0 })
  t.match(await queue.pop({ queue: 'q', batch: 3, autoAck: true }), [{ transactionId: one?.transactionId }])
  t.match(await queue.deadLetters.purge({ queue: 'q', group: '__QUEUE_MODE__' }, 1), { purged: 1, remaining: 1 })
  t.match(await queue.deadLetters.purge({ queue: 'q' }), { purged: 1, remaining: 0 })
  await t.rejects(queue.deadLetters.purge({}), { name: 'FieldError', field: 'queue' })
  await t.rejects(queue.deadLetters.redrive({ ids: ['x'] }), { name: 'FieldError', field: 'ids[0]' })
  await t.rejects(queue.deadLetters.list({}, { limit: 0 }), { name: 'FieldError', field: 'limit' })
})
