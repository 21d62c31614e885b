import { randomUUID } from 'node:crypto'
import t from 'tap'
import { connect, startService } from '../support.ts'
import { PATIENT, ackBatch, ackOne, configure, expireLeases, pushIds, take, takeIds, takeOne } from './consumer.ts'

const NO_LEASE = 'Invalid or expired lease'

t.test('ack', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)

  t.test('answers an array with one result per acknowledgement, in order', async t => {
    await pushIds(service, 'shape', ['a', 'b'], 'p')
    const [a, b] = await take(service, 'shape?batch=2')
    const single = await service.call('POST', '/api/v1/ack', { transactionId: 'a', partitionId: a?.partitionId, leaseId: a?.leaseId })
    t.same(single.json, [
      { index: 0, transactionId: 'a', success: true, error: null, queueName: 'shape', partitionName: 'p', leaseReleased: false, dlq: false }
    ])
    const batch = await service.call('POST', '/api/v1/ack/batch', {
      acknowledgments: [
        { transactionId: 'none', partitionId: a?.partitionId },
        { transactionId: 'b', partitionId: b?.partitionId, leaseId: b?.leaseId, status: 'success' },
        { transactionId: 'a', partitionId: 'not a uuid' },
        { transactionId: 'a', partitionId: randomUUID() }
      ]
    })
    t.equal(batch.status, 200)
    t.same(batch.json.map((result: any) => [result.index, result.transactionId, result.success, result.error, result.leaseReleased]), [
      [0, 'none', false, 'Message not found', false],
      [1, 'b', true, null, true],
      [2, 'a', false, 'Message not found', null],
      [3, 'a', false, 'Message not found', null]
    ])
    t.same(batch.json.map((result: any) => [result.queueName, result.partitionName]), [['shape', 'p'], ['shape', 'p'], [null, null], [null, null]])
    t.same((await service.call('POST', '/api/v1/ack/batch', { acknowledgments: [] })).json, [], 'an empty batch is answered too')
  })

  t.test('numbers results from 0 for each of many requests at once', async t => {
    await pushIds(service, 'numbers', Array.from({ length: 60 }, (_, i) => `m${i}`))
    const messages = await take(service, 'numbers?batch=60')
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) =>
      await ackBatch(service, messages.slice(3 * i, 3 * i + 3).map(message => ({ message })))))
    for (const [i, results] of answers.entries()) {
      t.same(results.map(({ index, transactionId, success }) => [index, transactionId, success]),
        [0, 1, 2].map(n => [n, `m${3 * i + n}`, true]))
    }
    t.same(await takeIds(service, 'numbers?batch=60'), [])
  })

  t.test('a failed message comes again after the retry delay, the completed one beside it does not', async t => {
    await configure(service, 'mixed', { retryDelay: 700 })
    await pushIds(service, 'mixed', ['a', 'b'])
    const [a, b] = await take(service, 'mixed?batch=2')
    if (a === undefined || b === undefined) throw new Error('nothing was delivered')
    const failedAt = performance.now()
    const results = await ackBatch(service, [{ message: a, status: 'failed' }, { message: b }])
    t.same(results.map(({ success, error, leaseReleased }) => [success, error, leaseReleased]), [[true, null, true], [true, null, true]])
    t.same(await takeIds(service, 'mixed?batch=9'), [], 'not before the delay')
    const again = await take(service, `mixed?batch=9&${PATIENT}`)
    t.ok(performance.now() - failedAt >= 690)
    t.same(again.map(message => [message.transactionId, message.retryCount, message.deliveryCount]), [['a', 1, 2]])
    await ackBatch(service, again.map(message => ({ message })))
    await pushIds(service, 'mixed', ['c'])
    t.same(await takeIds(service, 'mixed?batch=9'), ['c'], 'nothing was skipped, nothing came twice')
  })

  t.test('accepts acknowledgements in any order and brings back exactly the others', async t => {
    await pushIds(service, 'disorder', ['a', 'b', 'c', 'd', 'e'])
    const [a, b, c, d, e] = await take(service, 'disorder?batch=5')
    if (a === undefined || b === undefined || c === undefined || d === undefined || e === undefined) throw new Error('too few')
    t.equal((await ackOne(service, d)).leaseReleased, false)
    t.equal((await ackOne(service, b)).leaseReleased, false)
    await expireLeases(sql, 'disorder')
    const again = await take(service, 'disorder?batch=5')
    t.same(again.map(message => [message.transactionId, message.deliveryCount, message.retryCount]), [['a', 2, 0], ['c', 2, 0], ['e', 2, 0]])
    const results = await ackBatch(service, [...again].reverse().map(message => ({ message })))
    t.same(results.map(({ success, leaseReleased }) => [success, leaseReleased]), Array(3).fill([true, true]))
    t.same(await takeIds(service, 'disorder?batch=5'), [])
  })

  t.test('ends the lease when the last of its messages is acknowledged, in whatever order', async t => {
    await pushIds(service, 'release', ['a', 'b', 'c', 'd'])
    const [a, b, c] = await take(service, 'release?batch=3')
    if (a === undefined || b === undefined || c === undefined) throw new Error('too few')
    t.same([(await ackOne(service, c)).leaseReleased, (await ackOne(service, a)).leaseReleased], [false, false])
    t.same(await takeIds(service, 'release?batch=3'), [], 'still leased')
    t.equal((await ackOne(service, b)).leaseReleased, true)
    t.same(await takeIds(service, 'release?batch=3'), ['d'])
  })

  t.test('acknowledging twice succeeds, moves nothing and counts once', async t => {
    await pushIds(service, 'twice', ['a', 'b', 'c'])
    const messages = await take(service, 'twice?batch=3')
    const [a, b] = messages
    if (a === undefined || b === undefined) throw new Error('too few')
    for (let i = 0; i < 3; i++) {
      const result = await ackOne(service, a)
      t.same([result.success, result.error, result.leaseReleased], [true, null, false])
    }
    const results = await ackBatch(service, [{ message: b }, { message: b }, { message: a }])
    t.same(results.map(result => result.success), [true, true, true])
    await expireLeases(sql, 'twice')
    t.same(await takeIds(service, 'twice?batch=3'), ['c'])
    t.equal((await ackOne(service, a)).success, true, 'also after another delivery has begun')
    t.same(await takeIds(service, 'twice?batch=3'), [], 'and it rewinds nothing')
  })

  t.test('an earlier message acknowledged again moves the group neither back nor on', async t => {
    await pushIds(service, 'earlier', ['a', 'b', 'c', 'd'])
    const messages = await take(service, 'earlier?batch=4')
    await ackBatch(service, messages.slice(0, 3).map(message => ({ message })))
    await ackBatch(service, messages.slice(0, 1).map(message => ({ message })))
    await expireLeases(sql, 'earlier')
    t.same(await takeIds(service, 'earlier?batch=4'), ['d'])
  })

  t.test('a batch that goes beyond the lease acknowledges what is leased and nothing else', async t => {
    await pushIds(service, 'beyond', ['a', 'b', 'c', 'd'])
    const [a, b] = await take(service, 'beyond?batch=2')
    if (a === undefined || b === undefined) throw new Error('nothing was delivered')
    const results = await ackBatch(service, ['a', 'b', 'c', 'd'].map(transactionId => ({ message: { ...a, transactionId } })))
    t.same(results.map(({ success }) => success), [true, true, false, false])
    t.same(await takeIds(service, 'beyond?batch=4'), ['c', 'd'])
  })

  t.test('the first of several words about one message counts', async t => {
    await pushIds(service, 'words', ['a'])
    const a = await takeOne(service, 'words')
    const results = await ackBatch(service, [{ message: a }, { message: a, status: 'failed' }, { message: a, status: 'dlq' }])
    t.same(results.map(({ success, dlq }) => [success, dlq]), Array(3).fill([true, false]))
    t.same(await takeIds(service, 'words'), [])
    t.same(await sql`select from regent.dead_letters where queue = 'words'`, [])
    const late = await ackOne(service, a, { status: 'failed', leaseId: null })
    t.same([late.success, late.error], [false, 'Message already acknowledged'], 'what is done cannot fail any more')
  })

  t.test('refuses a foreign, expired, released or made-up lease and changes nothing', async t => {
    await pushIds(service, 'fence', ['a', 'b'])
    const stale = await takeOne(service, 'fence')
    const otherGroup = await takeOne(service, 'fence?consumerGroup=g')
    await expireLeases(sql, 'fence')
    for (const status of ['completed', 'failed', 'retry', 'dlq']) {
      t.match(await ackOne(service, stale, { status }), { success: false, error: NO_LEASE, dlq: false }, `expired: ${status}`)
    }
    const held = await takeOne(service, 'fence')
    t.equal(held.transactionId, 'a')
    for (const leaseId of [stale.leaseId, otherGroup.leaseId, randomUUID(), 'no uuid']) {
      for (const status of ['completed', 'failed', 'retry', 'dlq']) {
        t.match(await ackOne(service, held, { status, leaseId }), { success: false, error: NO_LEASE, dlq: false }, `${leaseId}: ${status}`)
      }
    }
    t.same(await takeIds(service, 'fence'), [], 'the holder still holds it')
    t.match(await ackOne(service, held, { leaseId: held.leaseId.toUpperCase() }), { success: true, leaseReleased: true })
    t.same(await takeIds(service, 'fence'), ['b'])
    t.same(await sql`select from regent.dead_letters where queue = 'fence'`, [])
  })

  t.test('without a lease accepts what is delivered, or unread when nobody holds the partition, but nothing beyond a live lease', async t => {
    await pushIds(service, 'leaseless', ['a', 'b', 'c'])
    const a = await takeOne(service, 'leaseless')
    const word = async (transactionId: string, leaseId: string | null): Promise<any> => await ackOne(service, a, { transactionId, leaseId })
    t.match(await word('b', null), { success: false, error: NO_LEASE }, 'b lies beyond the live lease')
    t.match(await word('a', ''), { success: true, leaseReleased: true })
    t.match(await word('b', null), { success: true, error: null })
    t.same(await takeIds(service, 'leaseless?batch=9'), ['c'])
  })

  t.test('refuses a group the message was never delivered to', async t => {
    await pushIds(service, 'strangers', ['a'])
    const a = await takeOne(service, 'strangers')
    t.match(await ackOne(service, a, { consumerGroup: 'never', leaseId: null, status: 'failed' }), { success: false, leaseReleased: null, queueName: 'strangers', partitionName: 'Default', dlq: false })
    t.same(await takeIds(service, 'strangers?consumerGroup=never'), ['a'])
    t.same(await sql`select from regent.dead_letters`, [])
  })

  t.test('takes the group of a batch from its top level, and of a single acknowledgement from itself', async t => {
    await pushIds(service, 'groups', ['a'])
    const [g, h] = [await takeOne(service, 'groups?consumerGroup=g'), await takeOne(service, 'groups?consumerGroup=h')]
    const { transactionId, partitionId, leaseId } = g
    const wrong = await service.call('POST', '/api/v1/ack/batch', { acknowledgments: [{ transactionId, partitionId, leaseId, consumerGroup: 'g' }], consumerGroup: 'h' })
    t.match(wrong.json, [{ success: false, error: NO_LEASE }])
    t.match(await ackBatch(service, [{ message: g }], 'g'), [{ success: true, leaseReleased: true }])
    t.match(await ackOne(service, h), { success: true, leaseReleased: true })
  })

  t.test('delivers again when a lease runs out, to a pop that waits for it', async t => {
    await configure(service, 'expiry', { leaseTime: 1 })
    await pushIds(service, 'expiry', ['a', 'b'])
    const [a] = await take(service, 'expiry?batch=2')
    if (a === undefined) throw new Error('nothing was delivered')
    await ackOne(service, a)
    const [again, ...others] = await take(service, `expiry?batch=2&${PATIENT}`)
    t.same([again?.transactionId, again?.deliveryCount, again?.retryCount], ['b', 2, 0], 'expiry is no failure')
    t.same(others, [])
    t.not(again?.leaseId, a.leaseId)
  })

  t.test('is understood by another instance, and by one that started after the delivery', async t => {
    await pushIds(service, 'restart', ['a', 'b', 'c', 'a"\\\u{1f389}'])
    const messages = await take(service, 'restart?batch=4')
    const [a, b, c, d] = messages
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('too few')
    const second = await startService(t, { databaseUrl: service.databaseUrl })
    t.same((await ackBatch(second, [{ message: c }, { message: a }, { message: d }])).map(result => result.success), [true, true, true])
    await expireLeases(sql, 'restart')
    t.same(await takeIds(second, 'restart?batch=4'), ['b'])
    t.match(await ackOne(second, b), { success: false, error: NO_LEASE })
    t.equal((await ackOne(second, a)).success, true, 'what is done stays done')
  })
})
