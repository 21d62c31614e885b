import { randomUUID } from 'node:crypto'
import t from 'tap'
import { connect, startService } from '../support.ts'
import type { Answer } from '../support.ts'
import { configure, expireLeases, pushIds, take, takeIds, takeOne } from './consumer.ts'
import type { Message } from './consumer.ts'

t.test('transaction', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const commit = async (operations: unknown, fields: object = {}): Promise<Answer> =>
    await service.call('POST', '/api/v1/transaction', { operations, ...fields })
  const ackOf = ({ transactionId, partitionId, consumerGroup }: Message, fields: object = {}): object =>
    ({ type: 'ack', transactionId, partitionId, consumerGroup, ...fields })
  const state = async (): Promise<unknown> => [
    ...await sql`select partition_id, first, count, tx, body from regent.segments order by 1, 2`,
    ...await sql`select partition_id, group_id, committed, acked::text, lease_id, lease_to, available_at::text from regent.cursors order by 1, 2`,
    ...await sql`select line from regent.dead_letters order by 1`,
    ...await sql`select position, failures from regent.attempts order by partition_id, 1`,
    ...await sql`select id, head from regent.partitions where head > 0 order by 1`
  ]

  t.test('acknowledges and pushes over several queues, with one result per flattened operation in order', async t => {
    await pushIds(service, 'in1', ['a', 'b'])
    await pushIds(service, 'in2', ['c'])
    const [a, b] = await take(service, 'in1?batch=2')
    const c = await takeOne(service, 'in2?consumerGroup=g')
    if (a === undefined || b === undefined) throw new Error('too few')
    const { status, json } = await commit([
      ackOf(a),
      { type: 'push', items: [{ queue: 'out1', payload: 1, transactionId: 'o1' }, { queue: 'out2', partition: 'p', payload: 2 }] },
      ackOf(c),
      { type: 'push', items: [] },
      { type: 'push', items: [{ queue: 'out1', transactionId: 'o2' }] },
      ackOf(b, { status: 'success', leaseId: b.leaseId })
    ], { requiredLeases: [a.leaseId, c.leaseId] })
    t.equal(status, 200)
    t.equal(json.success, true)
    t.type(json.transactionId, 'string')
    t.same(json.results.map((result: any) => [result.index, result.type, result.success, result.transactionId]), [
      [0, 'ack', true, 'a'], [1, 'push', true, 'o1'], [2, 'push', true, json.results[2].transactionId], [3, 'ack', true, 'c'], [4, 'push', true, 'o2'], [5, 'ack', true, 'b']
    ])
    t.same(Object.keys(json.results[0]).sort(), ['dlq', 'error', 'index', 'success', 'transactionId', 'type'])
    t.same(json.results[2].queueName, 'out2')
    t.same((await take(service, 'out1?batch=9')).map(message => [message.id, message.transactionId, message.data]),
      [[json.results[1].messageId, 'o1', 1], [json.results[4].messageId, 'o2', {}]], 'an item without payload carries {}')
    const [out2] = await take(service, 'out2/partition/p')
    t.same([out2?.id, out2?.partitionId, out2?.data], [json.results[2].messageId, json.results[2].partitionId, 2])
    t.same(await takeIds(service, 'in1?batch=9'), [])
    t.same(await takeIds(service, 'in2?batch=9&consumerGroup=g'), [])
  })

  t.test('takes a push operation without items, its payload also called data', async t => {
    const trace = randomUUID()
    const { json } = await commit([
      { type: 'push', queue: 'bare', partition: 'p', payload: [1], data: 'not this', transactionId: 'x', traceId: trace },
      { type: 'push', queue: 'bare', partition: 'p', data: { n: 2 }, messageId: randomUUID(), namespace: 'n' },
      { type: 'push', queue: 'bare', partition: 'p' }
    ])
    t.equal(json.success, true)
    t.same(json.results.map((result: any) => result.index), [0, 1, 2])
    const messages = await take(service, 'bare?batch=9')
    t.same(messages.map(message => message.data), [[1], { n: 2 }, {}])
    t.same([messages[0]?.transactionId, messages[0]?.traceId], ['x', trace])
  })

  t.test('reports duplicates as such and does the rest', async t => {
    const [first] = (await service.push([{ queue: 'dups', transactionId: 'x', payload: 1 }])).json
    await pushIds(service, 'dupin', ['a'])
    const a = await takeOne(service, 'dupin')
    const { json } = await commit([
      { type: 'push', items: [{ queue: 'dups', transactionId: 'x', payload: 2 }, { queue: 'dups', transactionId: 'y', payload: 3 }, { queue: 'dups', transactionId: 'y', payload: 4 }] },
      ackOf(a)
    ])
    t.same(json.results.map((result: any) => [result.success, result.status]), [[true, 'duplicate'], [true, 'queued'], [true, 'duplicate'], [true, undefined]])
    t.equal(json.results[0].messageId, first.message_id)
    t.equal(json.results[2].messageId, json.results[1].messageId)
    t.same((await take(service, 'dups?batch=9')).map(message => message.data), [1, 3])
    t.same(await takeIds(service, 'dupin'), [])
    await pushIds(service, 'dupin', ['b'])
    const again = await commit([{ type: 'push', queue: 'dups', transactionId: 'x' }, ackOf(await takeOne(service, 'dupin'))])
    t.equal(again.json.success, true, 'nothing but duplicates to push')
    t.same(await takeIds(service, 'dupin'), [])
  })

  t.test('changes nothing when one operation is bad, and says which way', async t => {
    await pushIds(service, 'atomic', ['a', 'b'])
    const [a] = await take(service, 'atomic?batch=2')
    const [other] = await take(service, 'atomic?batch=2&consumerGroup=g')
    if (a === undefined || other === undefined) throw new Error('too few')
    const before = await state()
    const push = { type: 'push', items: [{ queue: 'atomic', payload: 'never' }, { queue: 'fresh', payload: 'never' }] }
    const failures: [unknown, string][] = [
      [ackOf(a, { transactionId: 'none' }), 'ACK operation failed: Message not found'],
      [ackOf(a, { transactionId: 7 }), 'ACK operation failed: Message not found'],
      [{ type: 'ack' }, 'ACK operation failed: Message not found'],
      [ackOf(a, { partitionId: randomUUID() }), 'ACK operation failed: Message not found'],
      [ackOf(a, { leaseId: randomUUID() }), 'ACK operation failed: Invalid or expired lease'],
      [ackOf(a, { leaseId: 'junk' }), 'ACK operation failed: Invalid or expired lease'],
      [ackOf(a, { leaseId: other.leaseId }), 'ACK operation failed: Invalid or expired lease'],
      [ackOf(a, { consumerGroup: 'never' }), 'ACK operation failed: Message was not delivered to this consumer group'],
      [ackOf(a, { status: 'sideways' }), 'ACK operation failed: Unknown error'],
      [ackOf(a, { status: 7 }), 'ACK operation failed: Unknown error'],
      [{ type: 'pop', queue: 'atomic' }, 'Unknown operation type: pop'],
      [{ queue: 'atomic' }, 'Unknown operation type: null']
    ]
    for (const [bad, error] of failures) {
      for (const operations of [[push, ackOf(a), bad], [bad, ackOf(a), push]]) {
        const { status, json } = await commit(operations)
        t.equal(status, 200)
        t.match(json, { success: false, error, results: [] })
        t.type(json.transactionId, 'string')
      }
    }
    const refusals: [unknown, string][] = [
      [{ type: 'push', items: [{ queue: 'x' }, { queue: '' }] }, 'operations[1].items[1].queue'],
      [{ type: 'push', items: [{ queue: 'x', partition: null }] }, 'operations[1].items[0].partition'],
      [{ type: 'push', items: [{ queue: 'x', traceId: 'no uuid' }] }, 'operations[1].items[0].traceId'],
      [{ type: 'push', items: {} }, 'operations[1].items'],
      [{ type: 'push' }, 'operations[1].queue'],
      [{ type: 'push', queue: 'x\0' }, 'operations[1].queue'],
      [{ type: 'ack', consumerGroup: 'g\0' }, 'operations[1].consumerGroup'],
      ['push', 'operations[1]'],
      [null, 'operations[1]']
    ]
    for (const [bad, field] of refusals) {
      const { status, json } = await commit([push, bad, ackOf(a)])
      t.equal(status, 400, field)
      t.match(json, { code: 'RGT_FIELD_INVALID', field })
    }
    t.same(await state(), before)
    t.equal((await commit([push, ackOf(a)])).json.success, true, 'the good ones alone pass')
  })

  t.test('fences off a stale consumer by the leases its transaction requires', async t => {
    await pushIds(service, 'fenced', ['a', 'b'])
    const stale = await takeOne(service, 'fenced')
    await expireLeases(sql, 'fenced')
    const transaction = [ackOf(stale), { type: 'push', queue: 'fencedout', transactionId: 'effect' }]
    const required = { requiredLeases: [stale.leaseId] }
    t.match((await commit(transaction, required)).json, { success: false, error: 'ACK operation failed: Invalid or expired lease' }, 'it ran out')
    const holder = await takeOne(service, 'fenced')
    t.match((await commit(transaction, required)).json, { success: false }, 'it went to another')
    t.match((await commit(transaction, { requiredLeases: ['junk'] })).json, { success: false })
    t.match((await commit([ackOf(holder), { type: 'push', queue: 'fencedout', transactionId: 'right' }], { requiredLeases: [randomUUID(), holder.leaseId] })).json, { success: true })
    t.match((await commit(transaction, required)).json, { success: false }, 'the message is done, by another')
    t.same(await takeIds(service, 'fencedout?batch=9'), ['right'])
    t.same(await takeIds(service, 'fenced?batch=9'), ['b'])
  })

  t.test('gives one of two that acknowledge the same message under its lease the effect', async t => {
    await pushIds(service, 'contended', ['a'])
    const a = await takeOne(service, 'contended')
    const answers = await Promise.all(Array.from({ length: 8 }, async (_, i) =>
      await commit([ackOf(a), { type: 'push', queue: 'effects', transactionId: `effect${i}` }], { requiredLeases: [a.leaseId] })))
    t.equal(answers.filter(answer => answer.json.success === true).length, 1)
    t.equal((await take(service, 'effects?batch=9')).length, 1)
  })

  t.test('retries, dead-letters and completes by status as outside', async t => {
    await configure(service, 'words', { retryDelay: 0 })
    await pushIds(service, 'words', ['a', 'b', 'c'])
    const [a, b, c] = await take(service, 'words?batch=3')
    if (a === undefined || b === undefined || c === undefined) throw new Error('too few')
    const { json } = await commit([ackOf(a, { status: 'dlq' }), ackOf(b, { status: 'failed', error: 'later' }), ackOf(c)])
    t.same(json.results.map((result: any) => [result.success, result.dlq]), [[true, true], [true, false], [true, false]])
    t.same((await take(service, 'words?batch=3')).map(message => [message.transactionId, message.retryCount]), [['b', 1]])
    t.same([...await sql`select error, retry_count from regent.dead_letters`], [{ error: 'Unknown error', retry_count: 0 }])
  })

  t.test('ends the lease and wakes consumers, as pushes and acknowledgements do outside', async t => {
    await pushIds(service, 'wakes', ['a', 'b'])
    const a = await takeOne(service, 'wakes')
    const waiting = [takeIds(service, 'wakes?wait=true&timeout=15000'), takeIds(service, 'woken?wait=true&timeout=15000')]
    await commit([ackOf(a), { type: 'push', queue: 'woken', transactionId: 'w' }])
    t.same(await Promise.all(waiting), [['b'], ['w']])
  })

  t.test('pushes into a queue that was deleted behind its back', async t => {
    await pushIds(service, 'reborn', ['a'])
    await sql`select regent.delete_queue_v1('reborn')`
    t.match((await commit([{ type: 'push', queue: 'reborn', transactionId: 'b' }])).json, { success: true, results: [{ status: 'queued' }] })
    t.same(await takeIds(service, 'reborn?batch=9'), ['b'])
  })

  t.test('wants a list of operations with something in it', async t => {
    for (const operations of [undefined, null, {}, 'push']) {
      t.match((await commit(operations)), { status: 400, json: { error: 'operations array required', field: 'operations' } })
    }
    t.match(await commit([]), { status: 400, json: { error: 'operations array cannot be empty', field: 'operations' } })
  })
})
