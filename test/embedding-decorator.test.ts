import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent from '../index.ts'
import type { MessageInput, PopInput, PoppedMessage, RegentOptions } from '../index.ts'
import { createDatabase, until } from './support.ts'

async function makeApp (t: Test, options: Partial<RegentOptions> = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(regent, { databaseUrl: await createDatabase(t), ...options })
  await app.ready()
  return app
}

/** What a message that arrived can be acknowledged by. */
function only (messages: PoppedMessage[]): PoppedMessage {
  const [message] = messages
  if (message === undefined || messages.length > 1) throw new Error(`${messages.length} messages instead of one`)
  return message
}

t.test('can be used once the plugin is there, from onReady on in any case', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const databaseUrl = await createDatabase(t)
  await app.register(async child => {
    child.addHook('onReady', async () => { await app.regent.configure('tasks', { leaseTime: 7 }) })
  })
  let error: unknown
  // Called for the scope in which Regent then loads: the decorator is there, the queue is not.
  app.addHook('onRegister', () => {
    if (app.hasDecorator('regent')) app.regent.push([]).catch((caught: unknown) => { error ??= caught })
  })
  void app.register(regent, { databaseUrl })
  void app.register(async () => {
    // Loaded after it, so it is there.
    await app.regent.push([{ queue: 'tasks', payload: 1 }])
  })
  await app.ready()
  t.match(error, { code: 'RGT_REQUEST_INVALID', message: /once the application is ready/ })
  t.match(await app.regent.pop({ queue: 'tasks' }), [{ data: 1 }])
})

t.test('push, pop and ack carry a message through', async t => {
  const { regent: queue } = await makeApp(t)
  const traceId = '0198F1E2-0000-7000-8000-000000000001'
  const pushed = await queue.push([
    { queue: 'q', payload: { n: 1, text: 'ü\u0000\u2028', list: [null, undefined] }, transactionId: 't-1', traceId },
    { queue: 'q', partition: 'p', payload: undefined },
    { queue: 'q', payload: 'again', transactionId: 't-1' }
  ])
  t.match(pushed, [{ status: 'queued', transactionId: 't-1' }, { status: 'queued' }, { status: 'duplicate', transactionId: 't-1' }])
  t.equal(pushed[2]?.id, pushed[0]?.id, 'a duplicate has the id of the first')
  t.same(await queue.push([]), [])

  const message = only(await queue.pop({ queue: 'q', partition: 'Default', batch: 10 }))
  t.match(message, {
    id: pushed[0]?.id,
    partitionId: pushed[0]?.partitionId,
    queue: 'q',
    partition: 'Default',
    transactionId: 't-1',
    traceId: traceId.toLowerCase(),
    producerSub: null,
    createdAt: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
    deliveryCount: 1,
    retryCount: 0
  })
  t.same(message.data, { n: 1, text: 'ü\u0000\u2028', list: [null, null] })
  t.match(await queue.ack([message]), [{ success: true, transactionId: 't-1', queue: 'q', leaseReleased: true }])
  t.same(await queue.pop({ queue: 'q', partition: 'Default' }), [])
  t.match(await queue.pop({ queue: 'q' }), [{ partition: 'p', data: null }], 'undefined is stored as null')
})

t.test('a failure with any text brings the message back, counted', async t => {
  const { regent: queue } = await makeApp(t)
  await queue.configure('q', { retryDelay: 0 })
  await queue.push([{ queue: 'q', payload: 1 }])
  const first = only(await queue.pop({ queue: 'q' }))
  t.match(await queue.ack([first], 'failed', 'no\0thing \ud800 works'.repeat(5000)), [{ success: true }])
  t.match(await queue.pop({ queue: 'q', waitMs: 10_000 }), [{ id: first.id, deliveryCount: 2, retryCount: 1 }])
})

t.test('a transaction acknowledges and pushes, or does neither', async t => {
  const { regent: queue } = await makeApp(t)
  await queue.push([{ queue: 'in', payload: 1 }])
  const message = only(await queue.pop({ queue: 'in' }))
  const foreign = { ...message, leaseId: '00000000-0000-4000-8000-000000000000' }
  await t.rejects(queue.transaction({ ack: [foreign], push: [{ queue: 'out', payload: 'lost' }] }), { code: 'RGT_REQUEST_INVALID', field: 'ack[0]' })
  t.match(await queue.transaction({ ack: [message], push: [{ queue: 'out', payload: 'kept' }] }), [{ status: 'queued' }])
  t.match(await queue.pop({ queue: 'out', batch: 10 }), [{ data: 'kept' }])
  await t.rejects(queue.transaction({ ack: [message] }), { code: 'RGT_REQUEST_INVALID' }, 'its lease is gone')
})

t.test('a lease can be extended while it is held', async t => {
  const { regent: queue } = await makeApp(t)
  await queue.push([{ queue: 'q', payload: 1 }])
  const message = only(await queue.pop({ queue: 'q' }))
  const { leaseId } = message
  t.ok(leaseId !== null && await queue.extendLease(leaseId, 600))
  await queue.ack([message])
  t.notOk(leaseId !== null && await queue.extendLease(leaseId, 600))
  t.notOk(await queue.extendLease('00000000-0000-4000-8000-000000000000', 1))
})

t.test('queues are configured, found by their labels, and deleted', async t => {
  const { regent: queue } = await makeApp(t)
  await queue.configure('q', { leaseTime: 5 }, { namespace: 'n', task: 'k' })
  await queue.push([{ queue: 'q', payload: 1 }])
  t.match(await queue.pop({ namespace: 'n', task: 'k', group: 'g' }), [{ queue: 'q', group: 'g' }])
  t.match(await queue.pop({ queue: 'q', autoAck: true }), [{ leaseId: null }])
  t.equal(await queue.deleteQueue('q'), true)
  t.equal(await queue.deleteQueue('q'), false)
  await t.rejects(queue.configure('q', { leaseTime: -1 }), { name: 'FieldError', field: 'options.leaseTime' })
})

t.test('a waiting pop ends by its signal and leaves nothing claimed', async t => {
  const app = await makeApp(t)
  const gone = new AbortController()
  const waiting = app.regent.pop({ queue: 'q', waitMs: 60_000, signal: gone.signal })
  await until(async () => (await app.inject('/health')).json().load.parkedPops === 1)
  gone.abort()
  t.same(await waiting, [])
  t.same(await app.regent.pop({ queue: 'q', waitMs: 60_000, signal: gone.signal }), [])
  await app.regent.push([{ queue: 'q', payload: 1 }])
  // The look that was under way for the one that left may have claimed it first; then it is given back, uncounted.
  t.match(await app.regent.pop({ queue: 'q', waitMs: 30_000 }), [{ deliveryCount: 1 }])
})

t.test('what cannot be is refused with its name, and troubles nobody else', async t => {
  const { regent: queue } = await makeApp(t)
  const waiting = queue.pop({ queue: 'other', waitMs: 60_000 })
  for (const [field, input] of [
    ['queue', {}],
    ['queue', { queue: '' }],
    ['partition', { namespace: 'n', partition: 'p' }],
    ['group', { queue: 'q', group: 'g'.repeat(256) }],
    ['batch', { queue: 'q', batch: 1.5 }],
    ['batch', { queue: 'q', batch: 0 }],
    ['partitions', { queue: 'q', partitions: Number.NaN }],
    ['waitMs', { queue: 'q', waitMs: -1 }],
    ['subscription.from', { queue: 'q', group: 'g', subscription: { mode: 'timestamp', from: 'yesterday' } }]
  ] as Array<[string, PopInput]>) {
    await t.rejects(queue.pop(input), { name: 'FieldError', field }, JSON.stringify(input))
  }
  for (const [field, message] of [
    ['[0].queue', { queue: 'a\0b', payload: 1 }],
    ['[0].partition', { queue: 'q', partition: '', payload: 1 }],
    ['[0].transactionId', { queue: 'q', transactionId: '\ud800', payload: 1 }],
    ['[0].traceId', { queue: 'q', traceId: 'x', payload: 1 }]
  ] as Array<[string, MessageInput]>) {
    await t.rejects(queue.push([message]), { name: 'FieldError', field })
  }
  await t.rejects(queue.push([{ queue: 'q', payload: 1n }]), TypeError, 'no JSON holds a bigint')
  await t.rejects(queue.extendLease('x', 1), { name: 'FieldError', field: 'leaseId' })
  await t.rejects(queue.extendLease('00000000-0000-4000-8000-000000000000', Number.POSITIVE_INFINITY), { name: 'FieldError', field: 'seconds' })
  await t.rejects(queue.ack([{ transactionId: 't', partitionId: 'x', group: 'g', leaseId: 'x' }]), { name: 'FieldError', field: 'leaseId' })
  t.match(await queue.ack([{ transactionId: 't', partitionId: 'x', group: 'g', leaseId: null }]), [{ success: false }])
  // A time that a calendar does not have, yet that can be read.
  t.same(await queue.pop({ queue: 'q', group: 'g', subscription: { mode: 'timestamp', from: '2024-02-31' } }), [])

  await queue.push([{ queue: 'other', payload: 'served' }])
  t.match(await waiting, [{ data: 'served' }])
})
