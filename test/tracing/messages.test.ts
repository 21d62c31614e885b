import { createConnection } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { connect, startService } from '../support.ts'
import type { Answer, Service } from '../support.ts'
import { ackOne, configure, expireLeases, takeOne } from '../routes/consumer.ts'
import { MALFORMED, PARENT, traceparent } from './contexts.ts'

const STATE = 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7'

interface Traced { traceparent?: string, tracestate?: string }

const service = await startService(t, { encryptionKey: '0f'.repeat(32) })
const sql = connect(t, service.databaseUrl)

/** Push with headers. */
async function push (items: object[], headers: Record<string, string> = {}, to = service): Promise<Answer> {
  return await to.call('POST', '/api/v1/push', undefined, { body: JSON.stringify({ items }), headers })
}

/** The contexts of everything in a queue, as pop shows them. */
async function popped (queue: string, from: Service = service): Promise<Traced[]> {
  const { json, headers } = await from.pop(`${queue}?batch=100&autoAck=true`)
  t.equal(headers.get('traceparent'), null, 'the answer has no context of its own')
  return json.messages.map(contextOf)
}

function contextOf (message: object): Traced {
  return Object.fromEntries(Object.entries(message).filter(([name]) => name === 'traceparent' || name === 'tracestate'))
}

t.test('the headers of a push are the context of each of its messages', async t => {
  await push([{ queue: 'headers', payload: 1 }, { queue: 'headers', payload: 2, traceId: '0190a0b2-7c3d-7e4f-8a5b-0123456789ab' }], { traceparent: PARENT, tracestate: STATE })
  await push([{ queue: 'headers', payload: 3 }], { traceparent: PARENT })
  await push([{ queue: 'headers', payload: 4 }], { tracestate: STATE })
  await push([{ queue: 'headers', payload: 5 }])
  t.strictSame(await popped('headers'), [{ traceparent: PARENT, tracestate: STATE }, { traceparent: PARENT, tracestate: STATE }, { traceparent: PARENT }, {}, {}])
})

t.test('what an item names itself wins, and nothing of the headers is added to it', async t => {
  const items = [{ traceparent: traceparent(1) }, { traceparent: traceparent(2), tracestate: 'own=1' }, { tracestate: 'own=1' }, { traceparent: null }]
  await push(items.map(item => ({ queue: 'items', payload: 1, ...item })), { traceparent: PARENT, tracestate: STATE })
  const common = { traceparent: PARENT, tracestate: STATE }
  t.strictSame(await popped('items'), [{ traceparent: traceparent(1) }, { traceparent: traceparent(2), tracestate: 'own=1' }, common, common])
})

t.test('malformed headers are as good as none, a malformed field of an item is refused', async t => {
  // The client under the test sends no control characters.
  const sendable = MALFORMED.filter(text => !/[\0\n]/.test(text) && text.trim() === text && text.length < 1000)
  for (const text of sendable) t.equal((await push([{ queue: 'malformed', payload: 1 }], { traceparent: text, tracestate: STATE })).status, 201)
  t.strictSame(await popped('malformed'), sendable.map(() => ({})))
  const refused = await push([{ queue: 'malformed', payload: 1 }, { queue: 'malformed', traceparent: 'x' }])
  t.match(refused, { status: 400, json: { code: 'RGT_FIELD_INVALID', field: 'items[1].traceparent' } })
  t.match(await push([{ queue: 'malformed', traceparent: { a: 1 } }]), { status: 400, json: { field: 'items[0].traceparent' } })
  t.strictSame(await popped('malformed'), [], 'nothing of it was stored')
})

t.test('nothing gets into a stored line by way of headers', async t => {
  const { hostname, port } = new URL(service.url)
  const body = '{"items":[{"queue":"raw","payload":1}]}'
  const forged = `${PARENT}","data":"forged`
  for (const [name, value] of [['traceparent', forged], ['traceparent', `${PARENT}\x01`], ['tracestate', `a=1"\\,b=2${'\x7f'}`], ['tracestate', `a=${'v'.repeat(5000)}`], ['traceparent', `${PARENT}\r\ntraceparent: ${traceparent(1)}`]]) {
    const socket = createConnection(Number(port), hostname)
    const context = name === 'tracestate' ? `traceparent: ${PARENT}\r\n` : ''
    socket.write(`POST /api/v1/push HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${context}${name}: ${value}\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    let answer = ''
    socket.on('data', chunk => { answer += String(chunk) })
    await once(socket, 'close')
    t.match(answer, /^HTTP\/1\.1 (201|400) /)
  }
  for (const message of await popped('raw')) t.ok(message.tracestate === undefined && [undefined, PARENT].includes(message.traceparent), JSON.stringify(message))
  await push([{ queue: 'raw', payload: 'quoted' }], { traceparent: PARENT, tracestate: 'a="b\\' })
  t.strictSame(await popped('raw'), [{ traceparent: PARENT, tracestate: 'a="b\\' }])
})

t.test('the pushes of a transaction are as those of a push', async t => {
  await push([{ queue: 'in', payload: 1 }])
  const { transactionId, partitionId, leaseId } = await takeOne(service, 'in')
  const operations = [
    { type: 'ack', transactionId, partitionId, leaseId },
    { type: 'push', queue: 'out', payload: 1 },
    { type: 'push', queue: 'out', payload: 2, traceparent: traceparent(1) },
    { type: 'push', items: [{ queue: 'out', payload: 3 }, { queue: 'out', payload: 4, traceparent: traceparent(2), tracestate: 'own=1' }] }
  ]
  const transact = async (operations: object[]): Promise<Answer> => await service.call('POST', '/api/v1/transaction', undefined, { body: JSON.stringify({ operations }), headers: { traceparent: PARENT } })
  t.match(await transact(operations), { status: 200, json: { success: true } })
  t.strictSame(await popped('out'), [{ traceparent: PARENT }, { traceparent: traceparent(1) }, { traceparent: PARENT }, { traceparent: traceparent(2), tracestate: 'own=1' }])
  t.match(await transact([{ type: 'push', queue: 'out', traceparent: 'x' }]), { status: 400, json: { field: 'operations[0].traceparent' } })
})

t.test('a repeated push keeps the context of the first', async t => {
  await push([{ queue: 'twice', transactionId: 'a', payload: 1 }], { traceparent: traceparent(1) })
  t.match((await push([{ queue: 'twice', transactionId: 'a', payload: 1 }], { traceparent: traceparent(2) })).json, [{ status: 'duplicate' }])
  t.strictSame(await popped('twice'), [{ traceparent: traceparent(1) }])
})

t.test('it stays with a message that comes again, is dead-lettered and put back', async t => {
  const context = { traceparent: PARENT, tracestate: STATE }
  await push([{ queue: 'again', transactionId: 'a', payload: 1 }], context)
  t.match(await takeOne(service, 'again'), context)
  await expireLeases(sql, 'again')
  const message = await takeOne(service, 'again')
  t.match(message, { ...context, deliveryCount: 2 })
  t.match(await ackOne(service, message, { status: 'dlq', error: 'poison' }), { dlq: true })
  t.match((await service.call('GET', '/api/v1/dlq?queue=again')).json.messages, [context])
  t.match((await service.call('POST', '/api/v1/dlq/redrive', { queue: 'again' })).json, { redriven: 1 })
  t.strictSame(await popped('again'), [context])
})

t.test('the messages of an encrypted queue have it too, in clear text, beside their payloads', async t => {
  await configure(service, 'secret', { encryptionEnabled: true })
  await push([{ queue: 'secret', payload: 'hidden' }], { traceparent: PARENT, tracestate: 'a="b' })
  t.match(await sql`select s.body from regent.segments s join regent.partitions p on p.id = s.partition_id join regent.queues q on q.id = p.queue_id where q.name = 'secret'`,
    [{ body: new RegExp(`"traceparent":"${PARENT}".*"sealed":1}$`) }])
  t.strictSame(contextOf(await takeOne(service, 'secret')), { traceparent: PARENT, tracestate: 'a="b' })
})

t.test('lists and details show it where there is one', async t => {
  await push([{ queue: 'shown', transactionId: 'a', payload: 1 }], { traceparent: PARENT, tracestate: STATE })
  await push([{ queue: 'shown', transactionId: 'b', payload: 2 }])
  const { messages } = (await service.call('GET', '/api/v1/messages?queue=shown')).json
  t.strictSame(messages.map(contextOf), [{}, { traceparent: PARENT, tracestate: STATE }])
  for (const { partitionId, transactionId } of messages) {
    const detail = await service.call('GET', `/api/v1/messages/${partitionId}/${transactionId}`)
    t.strictSame(contextOf(detail.json), transactionId === 'a' ? { traceparent: PARENT, tracestate: STATE } : {})
  }
  t.match(await sql`select transaction_id, data from regent.messages where queue = 'shown' order by position`, [{ transaction_id: 'a', data: '1' }, { transaction_id: 'b', data: '2' }])
})

t.test('another process on the same database delivers it, also to embedding code', async t => {
  const other = await startService(t, { databaseUrl: service.databaseUrl })
  await push([{ queue: 'shared', payload: 1 }, { queue: 'shared', payload: 2 }], { traceparent: PARENT }, other)
  t.strictSame((await service.app.regent.pop({ queue: 'shared', batch: 2 })).map(contextOf), [{ traceparent: PARENT }, { traceparent: PARENT }])
})

t.test('embedding code names it as an item does', async t => {
  const { regent } = service.app
  await regent.push([{ queue: 'code', payload: 1, traceparent: PARENT, tracestate: STATE }, { queue: 'code', payload: 2 }])
  await regent.transaction({ push: [{ queue: 'code', payload: 3, traceparent: traceparent(3) }] })
  t.strictSame(await popped('code'), [{ traceparent: PARENT, tracestate: STATE }, {}, { traceparent: traceparent(3) }])
  await t.rejects(regent.push([{ queue: 'code', payload: 1, traceparent: 'x' }]), { name: 'FieldError', field: '[0].traceparent' })
})
