import t from 'tap'
import { connect, startService, until } from '../support.ts'
import { ackBatch, ackOne, configure, PATIENT, pushIds, take, takeIds, takeOne } from './consumer.ts'

t.test('options of a queue are kept', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const deadLetters = async (queue: string): Promise<number> => {
    const [row] = await sql<{ count: number }[]>`select count(*)::int as count from regent.dead_letters where queue = ${queue}`
    return row?.count ?? -1
  }
  const age = async (queue: string, seconds: number): Promise<void> => {
    await sql`update regent.segments s set created_at = s.created_at - make_interval(secs => ${seconds})
      from regent.partitions p join regent.queues q on q.id = p.queue_id where p.id = s.partition_id and q.name = ${queue}`
  }

  t.test('ttl: what is too old is not delivered to anybody, what is younger is', async t => {
    await configure(service, 'mortal', { ttl: 60 })
    await pushIds(service, 'mortal', ['a', 'b'])
    await take(service, 'mortal?consumerGroup=holder&batch=2')
    await age('mortal', 61)
    await pushIds(service, 'mortal', ['c'])
    t.same(await takeIds(service, 'mortal?batch=10'), ['c'])
    t.same(await takeIds(service, 'mortal?batch=10&consumerGroup=late&autoAck=true'), ['c'])
    await age('mortal', 61)
    t.same(await takeIds(service, 'mortal?batch=10&consumerGroup=later'), [])
    const [row] = await sql`select c.committed, c.available_at = 'infinity' as drained from regent.cursors c
      join regent.groups g on g.id = c.group_id where g.name = 'later'`
    t.match(row, { committed: '3', drained: true }, 'a group that has nothing left to get waits for a push')
  })

  t.test('ttl 0: nothing grows too old', async t => {
    await pushIds(service, 'immortal', ['a'])
    await age('immortal', 86_400 * 365)
    t.same(await takeIds(service, 'immortal'), ['a'])
  })

  t.test('dlqAfterMaxRetries false: a failing message comes again without end, unless a consumer dead-letters it', async t => {
    await configure(service, 'stubborn', { retryLimit: 1, retryDelay: 0, dlqAfterMaxRetries: false })
    await pushIds(service, 'stubborn', ['a'])
    for (let i = 0; i < 5; i++) {
      const message = await takeOne(service, `stubborn?${PATIENT}`)
      t.match(message, { transactionId: 'a', retryCount: i })
      t.match(await ackOne(service, message, { status: 'failed' }), { success: true, dlq: false })
    }
    t.equal(await deadLetters('stubborn'), 0)
    t.match(await ackOne(service, await takeOne(service, `stubborn?${PATIENT}`), { status: 'dlq' }), { success: true, dlq: true })
    t.equal(await deadLetters('stubborn'), 1)
  })

  t.test('deadLetterQueue false: nothing is dead-lettered, and a consumer that asks for it is refused', async t => {
    await configure(service, 'none', { retryLimit: 0, retryDelay: 0, deadLetterQueue: false })
    await pushIds(service, 'none', ['a', 'b'])
    const messages = await take(service, 'none?batch=2')
    const [a, b] = messages
    if (a === undefined || b === undefined) throw new Error('two messages were expected')
    t.match(await ackBatch(service, [{ message: a, status: 'dlq' }, { message: b, status: 'completed' }]),
      [{ success: false, error: 'Queue keeps no dead letters' }, { success: true }])
    t.match(await service.call('POST', '/api/v1/transaction', {
      operations: [{ type: 'ack', transactionId: 'a', partitionId: a.partitionId, status: 'dlq' }], requiredLeases: [a.leaseId]
    }), { status: 200, json: { success: false, error: /keeps no dead letters/ } })
    t.match(await ackOne(service, a, { status: 'failed' }), { success: true, dlq: false })
    t.match(await takeOne(service, `none?${PATIENT}`), { transactionId: 'a', retryCount: 1 })
    t.equal(await deadLetters('none'), 0)
  })

  t.test('maxSize: a push that would exceed it is refused as a whole, and is taken when there is room', async t => {
    await configure(service, 'small', { maxSize: 3 })
    await pushIds(service, 'small', ['a', 'b'])
    const refused = await service.push([{ queue: 'small', payload: 1 }, { queue: 'small', partition: 'other', payload: 1 }])
    t.match(refused, { status: 429, json: { code: 'RGT_QUEUE_FULL', retryable: true, error: 'Queue small is full; nothing was stored' } })
    t.equal(refused.headers.get('retry-after'), '1')
    await pushIds(service, 'small', ['c'])
    t.equal((await service.push([{ queue: 'small', transactionId: 'c', payload: 'c' }])).json[0].status, 'duplicate', 'a duplicate takes no room')
    t.equal((await service.push([{ queue: 'small', payload: 1 }])).status, 429)
    await ackOne(service, await takeOne(service, 'small'))
    await pushIds(service, 'small', ['d'])
    await take(service, 'small?consumerGroup=slow')
    const rest = await take(service, 'small?batch=3')
    await ackBatch(service, rest.map(message => ({ message })))
    t.equal((await service.push([{ queue: 'small', payload: 1 }])).status, 429, 'the group furthest behind has all four to read')
    await configure(service, 'small', { maxSize: 5 })
    await pushIds(service, 'small', ['e'])
  })

  t.test('maxSize: others pushes in the same call are not refused with it, nor is a transaction half done', async t => {
    await configure(service, 'full', { maxSize: 1 })
    await pushIds(service, 'full', ['a'])
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => await service.push([{ queue: i % 2 === 0 ? 'full' : 'roomy', payload: i }])))
    t.same(answers.map(answer => answer.status), answers.map((_, i) => i % 2 === 0 ? 429 : 201))
    const message = await takeOne(service, 'roomy')
    t.match(await service.call('POST', '/api/v1/transaction', {
      operations: [
        { type: 'ack', transactionId: message.transactionId, partitionId: message.partitionId },
        { type: 'push', items: [{ queue: 'full', payload: 1 }] }
      ],
      requiredLeases: [message.leaseId]
    }), { status: 200, json: { success: false, error: 'Queue full is full; nothing was stored', results: [] } })
    t.match(await ackOne(service, message), { success: true }, 'the lease is as it was')
  })

  t.test('maxSize: however many push at once from two instances, there are never more', async t => {
    const other = await startService(t, { databaseUrl: service.databaseUrl })
    await configure(service, 'race', { maxSize: 50 })
    const answers = await Promise.all(Array.from({ length: 60 }, async (_, i) =>
      await (i % 2 === 0 ? service : other).push([{ queue: 'race', partition: `p${i % 7}`, payload: i }, { queue: 'race', partition: `q${i % 5}`, payload: i }])))
    t.same([...new Set(answers.map(answer => answer.status))].sort(), [201, 429])
    const [row] = await sql`select sum(p.head)::int as stored from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = 'race'`
    t.equal(row?.stored, 50)
    t.equal(answers.filter(answer => answer.status === 201).length, 25)
  })

  t.test('what pushes heed is heeded by the other instance from the moment it is configured', async t => {
    const other = await startService(t, { databaseUrl: service.databaseUrl })
    await pushIds(other, 'heeded', ['a'])
    for (let maxSize = 1; maxSize < 10; maxSize++) {
      await configure(service, 'heeded', { maxSize })
      t.equal((await other.push([{ queue: 'heeded', payload: 1 }, { queue: 'heeded', partition: `new${maxSize}`, payload: 1 }])).status, 429)
      await configure(service, 'heeded', { maxSize: maxSize + 1 })
      t.equal((await other.push([{ queue: 'heeded', payload: 1 }])).status, 201)
    }
  })

  t.test('windowBufferMax: a partition that is never quiet is delivered all the same', async t => {
    await configure(service, 'busy', { windowBuffer: 1, windowBufferMax: 2 })
    const delivered = new AbortController()
    let pushed = 0
    const pushing = (async () => {
      while (!delivered.signal.aborted) {
        await pushIds(service, 'busy', [`m${pushed++}`])
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    })()
    const messages = await take(service, `busy?batch=100&${PATIENT}`)
    delivered.abort()
    await pushing
    t.ok(messages.length > 1, `${messages.length} messages together`)
    t.equal(messages[0]?.transactionId, 'm0')
    t.ok(Date.now() - Date.parse(messages[0]?.createdAt ?? '') >= 1999, 'not before the maximum')
  })

  t.test('a group that is to start in the future gets nothing that was pushed before', async t => {
    await pushIds(service, 'future', ['old'])
    const [row] = await sql<{ start: string }[]>`select regent.wire_millis(clock_timestamp() + interval '3 seconds') as start`
    const path = `future?consumerGroup=g&batch=10&subscriptionFrom=${row?.start}`
    t.same(await takeIds(service, path), [])
    await pushIds(service, 'future', ['too early'], 'other')
    await pushIds(service, 'future', ['too early as well'])
    t.same(await takeIds(service, `${path}&partitions=10`), [])
    await pushIds(service, 'future', ['never looked at'], 'third')
    await until(async () => {
      const [now] = await sql<{ passed: boolean }[]>`select clock_timestamp() >= ${row?.start ?? ''}::timestamptz as passed`
      return now?.passed === true
    })
    await pushIds(service, 'future', ['in time'], 'third')
    t.same(await takeIds(service, `${path}&partitions=10`), ['in time'])
  })
})
