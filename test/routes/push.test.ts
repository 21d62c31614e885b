import t from 'tap'
import { connect, startService } from '../support.ts'
import { pushIds, takeIds } from './consumer.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const TRACE = '0190A0B2-7C3D-7E4F-8A5B-0123456789AB'

t.test('push', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)

  t.test('answers 201 with one element per item, in the order of the request', async t => {
    const { status, json } = await service.push([
      { queue: 'orders', partition: 'p2', payload: 1, transactionId: 'one', traceId: TRACE },
      { queue: 'other', payload: 2 },
      { queue: 'orders', partition: 'p1', payload: 3, transactionId: 'three' },
      { queue: 'orders', partition: 'p2', payload: 4, transactionId: '' }
    ])
    t.equal(status, 201)
    t.same(json.map((result: any) => [result.index, result.status, result.queueName, result.trace_id]), [
      [0, 'queued', 'orders', TRACE.toLowerCase()], [1, 'queued', 'other', null], [2, 'queued', 'orders', null], [3, 'queued', 'orders', null]
    ])
    t.same(Object.keys(json[0]).sort(), ['index', 'message_id', 'partition_id', 'queueName', 'status', 'trace_id', 'transaction_id'])
    t.equal(json[0].transaction_id, 'one')
    t.equal(json[2].transaction_id, 'three')
    t.match(json[1].transaction_id, UUID, 'an id is made where none was given')
    t.match(json[3].transaction_id, UUID, 'also where it was empty')
    for (const result of json) t.match([result.message_id, result.partition_id], [UUID, UUID])
    t.equal(json[0].partition_id, json[3].partition_id)
    t.equal(new Set(json.map((result: any) => result.message_id)).size, 4)
  })

  t.test('answers an empty push with an empty array', async t => {
    const answer = await service.push([])
    t.equal(answer.status, 201)
    t.equal(answer.text, '[]')
  })

  t.test('numbers results from 0 for each of many requests at once', async t => {
    const answers = await Promise.all(Array.from({ length: 40 }, async (_, i) =>
      await service.push([0, 1, 2].map(n => ({ queue: 'numbers', partition: `p${i % 3}`, transactionId: `${i}-${n}`, payload: null })))))
    for (const [i, { json }] of answers.entries()) {
      t.same(json.map((result: any) => [result.index, result.transaction_id, result.status]),
        [[0, `${i}-0`, 'queued'], [1, `${i}-1`, 'queued'], [2, `${i}-2`, 'queued']])
    }
  })

  t.test('calls a transaction id that is already in the partition a duplicate and names the first message', async t => {
    const first = (await service.push([{ queue: 'dup', partition: 'a', transactionId: 'x', payload: 1 }])).json[0]
    const { json } = await service.push([
      { queue: 'dup', partition: 'a', transactionId: 'x', payload: 'another payload' },
      { queue: 'dup', partition: 'b', transactionId: 'x', payload: 2 },
      { queue: 'dup', partition: 'a', transactionId: 'y', payload: 3 },
      { queue: 'dup', partition: 'a', transactionId: 'y', payload: 4 }
    ])
    t.same(json[0], { index: 0, status: 'duplicate', message_id: first.message_id, transaction_id: 'x', queueName: 'dup' })
    t.equal(json[1].status, 'queued', 'another partition is another scope')
    t.equal(json[2].status, 'queued')
    t.same(json[3], { index: 3, status: 'duplicate', message_id: json[2].message_id, transaction_id: 'y', queueName: 'dup' })
    const stored = await sql<{ partition: string, data: string }[]>`
      select partition, data from regent.messages where queue = 'dup' order by partition, position`
    t.same(stored.map(row => [row.partition, row.data]), [['a', '1'], ['a', '3'], ['b', '2']], 'the first payload stays')
  })

  t.test('queues exactly one of many concurrent pushes of one transaction id, on two instances', async t => {
    const second = await startService(t, { databaseUrl: service.databaseUrl })
    const answers = await Promise.all(Array.from({ length: 30 }, async (_, i) =>
      await (i % 2 === 0 ? service : second).push([{ queue: 'race', transactionId: 'same', payload: i }])))
    const results = answers.map(answer => answer.json[0])
    t.equal(results.filter(result => result.status === 'queued').length, 1)
    t.equal(results.filter(result => result.status === 'duplicate').length, 29)
    t.equal(new Set(results.map(result => result.message_id)).size, 1)
  })

  t.test('accepts an id again once the queue\'s deduplication window has passed, or has none', async t => {
    await service.call('POST', '/api/v1/configure', { queue: 'windowless', options: { dedupWindowSeconds: 0 } })
    for (const status of ['queued', 'queued']) {
      t.equal((await service.push([{ queue: 'windowless', transactionId: 'x', payload: 1 }])).json[0].status, status)
    }
    await service.push([{ queue: 'aged', transactionId: 'x', payload: 1 }])
    await sql`update regent.segments set created_at = created_at - interval '2 hours'
      where partition_id = (select p.id from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = 'aged')`
    t.equal((await service.push([{ queue: 'aged', transactionId: 'x', payload: 1 }])).json[0].status, 'queued')
    t.equal((await service.push([{ queue: 'aged', transactionId: 'x', payload: 1 }])).json[0].status, 'duplicate')
  })

  t.test('makes queues on the way, with namespace and task from the dots of the name', async t => {
    const names = ['plain', 'shop.bill', 'shop.bill.eu', '.odd']
    await service.push(names.map(queue => ({ queue, payload: null })))
    const rows = await sql<{ name: string, namespace: string, task: string }[]>`
      select name, namespace, task from regent.queues where name = any(${names}) order by name`
    t.same(rows.map(row => [row.name, row.namespace, row.task]),
      [['.odd', '', 'odd'], ['plain', 'plain', ''], ['shop.bill', 'shop', 'bill'], ['shop.bill.eu', 'shop', 'bill']])
  })

  t.test('drops what an item has besides, and never believes a client about its identity', async t => {
    await service.push([{ queue: 'extra', payload: 1, producerSub: 'root', messageId: TRACE, data: 2, priority: 9 }])
    const { json } = await service.pop('extra')
    t.equal(json.messages[0].producerSub, null)
    t.equal(json.messages[0].data, 1)
    t.not(json.messages[0].id, TRACE.toLowerCase())
  })

  t.test('stores null where an item has no payload', async t => {
    await service.push([{ queue: 'payloadless' }])
    t.match((await service.pop('payloadless')).text, '"data":null}')
  })

  t.test('keeps the order of items and of pushes within a partition', async t => {
    const ids = Array.from({ length: 600 }, (_, i) => `m${i}`)
    await pushIds(service, 'ordered', ids.slice(0, 500))
    for (const id of ids.slice(500)) await pushIds(service, 'ordered', [id])
    t.same(await takeIds(service, 'ordered?batch=1000'), ids)
  })

  t.test('shows a message to a pop that does not wait as soon as the push is answered', async t => {
    for (let i = 0; i < 20; i++) {
      await pushIds(service, 'visible', [`m${i}`], `p${i}`)
      t.same(await takeIds(service, 'visible'), [`m${i}`])
    }
  })
})
