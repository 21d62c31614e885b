import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { startService, until } from '../support.ts'
import type { Example } from './examples.ts'
import { Fields } from './fields.ts'
import { startDescribed } from './service.ts'

const TRACED = { traceId: randomUUID(), traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'a=b' }
const NO_PARTITION = '0000ffff-ffff-8000-8000-000000000000'

t.test('what is answered about messages has every field that is described, and no other', async t => {
  const described = await startDescribed(t)
  const { databaseUrl } = described
  const fields = new Fields()
  const ask = fields.asking(described)
  // Of producers that are nobody in particular, and with a key that only it has.
  const clients = await startService(t, { databaseUrl, encryptionKey: randomBytes(32).toString('hex') })
  const messages = (queue: string, ...ids: string[]): object[] => ids.map(transactionId => ({ queue, partition: 'p', transactionId, payload: { a: 1 } }))
  const push = async (...items: object[]): Promise<any> => await ask(201, 'push', { body: { items } })

  await t.test('queues', async t => {
    t.match(await ask(200, 'configureQueue', { body: { queue: 'labelled', namespace: 'n', task: 't', options: { priority: '-1' } } }), { options: { priority: -1 } })
    await ask(200, 'configureQueue', { body: { queue: 'short lived' } })
    for (const existed of [true, false]) t.match(await ask(200, 'deleteQueue', { params: { queue: 'short lived' } }), { existed })
  })

  await t.test('pushes', async t => {
    t.match(await push({ queue: 'pushed', transactionId: '1', ...TRACED }, { queue: 'pushed', transactionId: '1' }, { queue: 'pushed' }),
      [{ status: 'queued', trace_id: TRACED.traceId }, { status: 'duplicate' }, { status: 'queued', trace_id: null }])
    await ask(200, 'setMaintenance', { body: { enabled: true } })
    t.match(await push({ queue: 'pushed' }), [{ status: 'buffered' }])
    await ask(200, 'setMaintenance', { body: { enabled: false } })
    await until(async () => (await ask(200, 'getHealth')).file_buffer.messages === 0)
  })

  await t.test('pops', async t => {
    const pops: [string, Example][] = [
      ['popQueue', { params: { queue: 'by queue' } }], ['popPartition', { params: { queue: 'by partition', partition: 'p' } }], ['popLabelled', { query: { namespace: 'n' } }]
    ]
    for (const [operation, { params, query }] of pops) {
      const queue = params?.queue ?? 'labelled'
      await push(...messages(queue, '1').map(message => ({ ...message, ...TRACED })))
      await clients.push(messages(queue, '2'))
      t.match((await ask(200, operation, { ...(params && { params }), query: { ...query, batch: '2', consumerGroup: 'g' } })).messages,
        [{ transactionId: '1', producerSub: 'administrator', ...TRACED }, { transactionId: '2', producerSub: null, traceId: null }])
      await ask(200, 'setPopMaintenance', { body: { enabled: true } })
      t.match(await ask(200, operation, { ...(params && { params }), ...(query && { query }) }), { paused: true, messages: [] })
      await ask(200, 'setPopMaintenance', { body: { enabled: false } })
    }
  })

  await t.test('acknowledgements, leases and transactions', async t => {
    await push(...messages('acked', '1', '2', '3', '4', '5'))
    const { messages: taken, leaseId } = await ask(200, 'popQueue', { params: { queue: 'acked' }, query: { batch: '5' } })
    const [first, second, third, fourth] = taken
    await ask(200, 'extendLease', { params: { leaseId } })
    const nowhere = { transactionId: '1', partitionId: NO_PARTITION }
    t.match(await ask(200, 'ack', { body: { ...first } }), [{ success: true, error: null, leaseReleased: false }])
    t.match(await ask(200, 'ack', { body: nowhere }), [{ success: false, error: String, queueName: null, leaseReleased: null }])
    t.match(await ask(200, 'ackBatch', { body: { acknowledgments: [second, nowhere, { ...fourth, status: 'dlq' }] } }), [{ success: true }, { success: false, queueName: null }, { dlq: true }])
    t.match(await ask(200, 'transact', { body: { operations: [{ type: 'ack', ...third }, { type: 'push', ...messages('done', '1')[0] }] } }), { success: true, results: [{ type: 'ack' }, { type: 'push' }] })
    t.match(await ask(200, 'transact', { body: { operations: [{ type: 'ack', ...nowhere }] } }), { success: false, results: [] })
    t.match(await ask(200, 'transact', { body: { operations: [{ type: 'other' }] } }), { success: false, results: [] })
  })

  await t.test('messages that are looked at', async t => {
    const { partition_id: partitionId } = (await push(...messages('seen', '1', '2', '3').map(message => ({ ...message, ...TRACED }))))[0]
    await clients.push(messages('seen', '4'))
    const { messages: taken } = await ask(200, 'popQueue', { params: { queue: 'seen' }, query: { batch: '2' } })
    await ask(200, 'ack', { body: { ...taken[0], status: 'dlq', error: 'poison' } })
    await ask(200, 'popQueue', { params: { queue: 'seen' }, query: { batch: '2', consumerGroup: 'reader' } })
    await ask(200, 'popQueue', { params: { queue: 'seen' }, query: { batch: '9', consumerGroup: 'done', autoAck: 'true' } })
    const shown = async (transactionId: string): Promise<any> => await ask(200, 'getMessage', { params: { partitionId, transactionId } })
    t.match(await shown('1'), { status: 'dead_letter', errorMessage: 'poison', ...TRACED })
    t.match(await shown('2'), { status: 'processing', leaseExpiresAt: String })
    t.match(await shown('4'), { status: 'pending', traceId: null, producerSub: null })
    const { json: [sealed] } = await clients.call('POST', '/api/v1/configure', { queue: 'sealed', options: { encryptionEnabled: true } }).then(async () => await clients.push(messages('sealed', '1')))
    t.match(await ask(200, 'getMessage', { params: { partitionId: sealed.partition_id, transactionId: '1' } }), { payload: null, payloadError: String, isEncrypted: true })
    t.match((await ask(200, 'listMessages', { query: { queue: 'seen' } })).mode, { type: 'hybrid' })
    t.equal((await ask(200, 'listQueueMessages', { params: { queue: 'seen' } })).length, 4)
    for (const success of [true, false]) t.match(await ask(200, 'deleteMessage', { params: { partitionId, transactionId: '3' } }), { success })
    t.match(await ask(200, 'clearQueue', { params: { queue: 'seen' }, query: { partition: 'p' } }), { partition: 'p' })
    t.match(await ask(200, 'clearQueue', { params: { queue: 'seen' } }), { partition: null, cleared: 0 })
  })

  await t.test('channels, and the process', async t => {
    const params = { channel: randomUUID() }
    const asked = described.call('sendRequest', { params, query: { timeout: '10000' }, body: 'hello' })
    await until(async () => (await ask(200, 'getChannels')).channels[0]?.oldestWaitingMs !== undefined)
    const id = (await described.call('takeRequest', { params })).headers.get('x-channel-request') ?? ''
    t.equal((await ask(200, 'getChannels')).channels[0].oldestWaitingMs, null)
    await ask(200, 'sendReply', { params: { ...params, id }, body: 'HELLO' })
    t.equal((await asked).text, '"HELLO"')
    await ask(200, 'getMetrics')
    for (const operation of ['getLogLevel', 'setLogLevel']) t.match(await ask(200, operation, operation === 'setLogLevel' ? { body: { level: 'silent' } } : {}), { level: 'silent' })
  })

  t.same([...described.wrong], [], 'nothing else is answered')
  t.same(fields.unseen, [], 'and nothing less')
})
