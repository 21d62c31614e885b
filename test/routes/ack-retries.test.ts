import t from 'tap'
import { connect, startService } from '../support.ts'
import { ackBatch, ackOne, configure, expireLeases, pushIds, take, takeIds, takeOne } from './consumer.ts'

t.test('retries and dead letters', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const deadLetters = async (queue: string): Promise<any[]> => [...await sql`
    select queue, partition, consumer_group, line, error, retry_count from regent.dead_letters where queue = ${queue} order by position`]
  const queue = async (name: string, options: object): Promise<void> => { await configure(service, name, { retryDelay: 0, ...options }) }

  t.test('delivers a failing message retryLimit + 1 times and keeps it as a dead letter', async t => {
    for (const limit of [0, 1, 3]) {
      const name = `limit${limit}`
      await queue(name, { retryLimit: limit })
      await service.push([{ queue: name, partition: 'p', transactionId: 'a', payload: { b: 1.10, a: [1, 2] } }])
      for (let delivery = 1; delivery <= limit + 1; delivery++) {
        const message = await takeOne(service, name)
        t.same([message.transactionId, message.deliveryCount, message.retryCount], ['a', delivery, delivery - 1])
        const isLast = delivery === limit + 1
        t.match(await ackOne(service, message, { status: 'failed', error: `try ${delivery}` }), { success: true, error: null, dlq: isLast, leaseReleased: true })
      }
      t.same(await takeIds(service, name), [])
      t.same(await deadLetters(name), [{
        queue: name,
        partition: 'p',
        consumer_group: '__QUEUE_MODE__',
        line: '{"transactionId":"a","traceId":null,"producerSub":null,"data":{"b":1.1,"a":[1,2]}}',
        error: `try ${limit + 1}`,
        retry_count: limit
      }])
    }
  })

  t.test('counts failures for each message and group of its own', async t => {
    await queue('own', { retryLimit: 1 })
    await pushIds(service, 'own', ['a', 'b'])
    const [a1, b1] = await take(service, 'own?batch=2')
    const [g1] = await take(service, 'own?batch=2&consumerGroup=g')
    if (a1 === undefined || b1 === undefined || g1 === undefined) throw new Error('too few')
    await ackBatch(service, [{ message: a1, status: 'failed' }])
    await ackBatch(service, [{ message: g1, status: 'failed' }], 'g')
    const [a2, b2] = await take(service, 'own?batch=2')
    t.same([a2?.retryCount, a2?.deliveryCount, b2?.retryCount, b2?.deliveryCount], [1, 2, 0, 2], 'b came again with a but has not failed')
    if (a2 === undefined || b2 === undefined) throw new Error('too few')
    const results = await ackBatch(service, [{ message: a2, status: 'failed' }, { message: b2, status: 'failed' }])
    t.same(results.map(result => result.dlq), [true, false])
    const [b3] = await take(service, 'own?batch=2')
    t.same([b3?.transactionId, b3?.retryCount], ['b', 1])
    t.equal((await deadLetters('own')).length, 1)
    t.same((await take(service, 'own?batch=2&consumerGroup=g')).map(message => message.retryCount), [1, 0], 'the other group is where it was')
  })

  t.test('a dead letter does not use up the tries of the next message', async t => {
    await queue('next', { retryLimit: 1 })
    await pushIds(service, 'next', ['a', 'b'])
    const seen: [string, number, boolean][] = []
    for (let i = 0; i < 4; i++) {
      const message = await takeOne(service, 'next')
      seen.push([message.transactionId, message.retryCount, (await ackOne(service, message, { status: 'failed' })).dlq])
    }
    t.same(seen, [['a', 0, false], ['a', 1, true], ['b', 0, false], ['b', 1, true]])
  })

  t.test('goes on with the rest of the lease after a dead letter', async t => {
    await queue('rest', {})
    await pushIds(service, 'rest', ['a', 'b', 'c'])
    const [a, b, c] = await take(service, 'rest?batch=3')
    if (a === undefined || b === undefined || c === undefined) throw new Error('too few')
    t.match(await ackOne(service, b, { status: 'dlq', error: 'poison' }), { success: true, dlq: true, leaseReleased: false })
    t.match(await ackBatch(service, [{ message: c }, { message: a }]), [{ leaseReleased: true }, { leaseReleased: true }])
    t.match(await deadLetters('rest'), [{ error: 'poison', retry_count: 0 }])
    t.match(await ackOne(service, b, { status: 'dlq', leaseId: null }), { success: false, dlq: false, error: 'Message already acknowledged' })
    t.equal((await deadLetters('rest')).length, 1, 'written once')
  })

  t.test('fills in the error of a dead letter as single and batch form always have', async t => {
    await pushIds(service, 'texts', ['a', 'b', 'c', 'd'])
    const [a, b, c, d] = await take(service, 'texts?batch=4')
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('too few')
    await ackOne(service, a, { status: 'dlq', error: null })
    await ackBatch(service, [{ message: b, status: 'dlq' }, { message: c, status: 'dlq', error: 'line\nbreak \u001e \0 \ud800 \u{1f389}' }])
    await ackOne(service, d, { status: 'dlq', error: 'x'.repeat(20_000) })
    t.same((await deadLetters('texts')).map(row => row.error),
      ['', 'Retries exhausted', 'line\nbreak   \ufffd \ufffd \u{1f389}', 'x'.repeat(10_000)])
  })

  t.test('retry ends the lease at once without counting a failure', async t => {
    await configure(service, 'retry', { retryLimit: 0, retryDelay: 3_600_000 })
    await pushIds(service, 'retry', ['a', 'b'])
    for (let delivery = 1; delivery <= 3; delivery++) {
      const [a, b] = await take(service, 'retry?batch=2')
      t.same([a?.transactionId, a?.retryCount, a?.deliveryCount, b?.transactionId], ['a', 0, delivery, 'b'])
      if (a !== undefined) t.match(await ackOne(service, a, { status: 'retry' }), { success: true, leaseReleased: true, dlq: false })
    }
  })

  t.test('keeps what was acknowledged when a later message fails', async t => {
    await queue('kept', {})
    await pushIds(service, 'kept', ['a', 'b', 'c', 'd'])
    const [a, b, c, d] = await take(service, 'kept?batch=4')
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('too few')
    await ackBatch(service, [{ message: d }, { message: c, status: 'failed' }, { message: a }])
    t.same((await take(service, 'kept?batch=4')).map(message => [message.transactionId, message.retryCount]), [['b', 0], ['c', 1]])
  })

  t.test('an unknown status changes nothing', async t => {
    await pushIds(service, 'unknown', ['a'])
    const a = await takeOne(service, 'unknown')
    for (const status of ['done', '', 'FAILED', 'toString', '__proto__']) {
      t.match(await ackOne(service, a, { status }), { success: false, error: null, dlq: false }, status)
      t.match(await ackBatch(service, [{ message: a, status }]), [{ success: false, error: null, dlq: false }], status)
    }
    for (const status of [7, true, {}]) {
      const { transactionId, partitionId, leaseId } = a
      const batch = await service.call('POST', '/api/v1/ack/batch', { acknowledgments: [{ transactionId, partitionId, leaseId, status }] })
      t.match(batch.json, [{ success: false, error: null }], 'in a batch a status that is no text matches nothing')
    }
    await expireLeases(sql, 'unknown')
    const again = await takeOne(service, 'unknown')
    t.equal(again.transactionId, 'a')
    t.match(await ackOne(service, again, { status: false }), { success: true, leaseReleased: true }, 'alone it means completed')
  })

  t.test('takes the id of a message for the one that was delivered, not for one acknowledged before that has the same', async t => {
    await queue('again', { dedupWindowSeconds: 0 })
    await pushIds(service, 'again', ['y', 'x', 'x'])
    const [y, x] = await take(service, 'again?batch=3')
    if (y === undefined || x === undefined) throw new Error('too few')
    await ackOne(service, x)
    await ackOne(service, y, { status: 'retry' })
    const second = await take(service, 'again?batch=3')
    t.same(second.map(message => message.transactionId), ['y', 'x'])
    t.ok((await ackBatch(service, second.map(message => ({ message })))).every((result: { success: boolean }) => result.success))
    t.same(await take(service, 'again?batch=3'), [])
    t.same(await sql`select from regent.cursors c join regent.partitions p on p.id = c.partition_id
      join regent.queues q on q.id = p.queue_id where q.name = 'again' and c.committed < p.head`, [], 'nothing is left')
  })

  t.test('counts every delivery that ended without an acknowledgement', async t => {
    await pushIds(service, 'counted', ['a', 'b'])
    for (let delivery = 1; delivery <= 4; delivery++) {
      t.same((await take(service, 'counted?batch=2')).map(message => [message.deliveryCount, message.retryCount]), [[delivery, 0], [delivery, 0]])
      await expireLeases(sql, 'counted')
    }
    const messages = await take(service, 'counted?batch=2')
    await ackBatch(service, messages.map(message => ({ message })))
    t.same(await sql`select from regent.attempts t join regent.partitions p on p.id = t.partition_id
      join regent.queues q on q.id = p.queue_id where q.name = 'counted'`, [], 'nothing is kept about messages that are done')
  })

  t.test('goes on counting for what is left when some of it is popped with autoAck', async t => {
    await pushIds(service, 'partly', ['a', 'b', 'c'])
    await take(service, 'partly?batch=3')
    await expireLeases(sql, 'partly')
    t.same(await takeIds(service, 'partly?batch=1&autoAck=true'), ['a'])
    t.same((await take(service, 'partly?batch=2')).map(message => message.deliveryCount), [2, 2])
    await expireLeases(sql, 'partly')
    t.same(await takeIds(service, 'partly?batch=2&autoAck=true'), ['b', 'c'])
    t.same(await sql`select from regent.attempts t join regent.partitions p on p.id = t.partition_id
      join regent.queues q on q.id = p.queue_id where q.name = 'partly'`, [], 'nothing is kept about messages that are done')
  })

  t.test('accepts a dead-letter acknowledgement of a message that was deleted meanwhile', async t => {
    await pushIds(service, 'deleted', ['a'])
    await pushIds(service, 'deleted', ['b'])
    const [, b] = await take(service, 'deleted?batch=2')
    if (b === undefined) throw new Error('too few')
    await sql`delete from regent.segments s using regent.partitions p, regent.queues q
      where p.id = s.partition_id and q.id = p.queue_id and q.name = 'deleted' and s.first = 2`
    t.match(await ackOne(service, b, { status: 'dlq' }), { success: true })
    t.same(await deadLetters('deleted'), [], 'there is nothing left to keep')
  })
})
