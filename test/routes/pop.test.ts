import t from 'tap'
import { connect, startService } from '../support.ts'
import { PATIENT, ackBatch, ackOne, configure, expireLeases, pushIds, take, takeIds, takeOne } from './consumer.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

t.test('pop', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)

  t.test('answers with the envelope and the message fields that clients read', async t => {
    const trace = '0190a0b2-7c3d-7e4f-8a5b-0123456789ab'
    const [pushed] = (await service.push([{ queue: 'shape', partition: 'p', payload: { a: 1 }, transactionId: 'x', traceId: trace }])).json
    const { status, json, headers } = await service.pop('shape?batch=10')
    t.equal(status, 200)
    t.match(headers.get('content-type'), /^application\/json/)
    const { messages: [message], ...envelope } = json
    t.match(envelope.leaseId, UUID)
    t.same(envelope, {
      success: true,
      queue: 'shape',
      partition: 'p',
      partitionId: pushed.partition_id,
      leaseId: message.leaseId,
      consumerGroup: '__QUEUE_MODE__',
      partitionsClaimed: 1
    })
    t.match(message.createdAt, /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/)
    t.ok(Math.abs(Date.parse(message.createdAt) - Date.now()) < 60_000, 'createdAt is in UTC')
    t.same(message, {
      id: pushed.message_id,
      transactionId: 'x',
      traceId: trace,
      data: { a: 1 },
      producerSub: null,
      createdAt: message.createdAt,
      partitionId: pushed.partition_id,
      partition: 'p',
      leaseId: envelope.leaseId,
      consumerGroup: '__QUEUE_MODE__',
      queue: 'shape',
      retryCount: 0,
      deliveryCount: 1
    })
  })

  t.test('answers empty, and not with an error, where there is nothing, no queue or no partition', async t => {
    await pushIds(service, 'leased', ['x'])
    await take(service, 'leased')
    for (const path of ['nowhere', 'nowhere/partition/p', 'leased/partition/none', 'leased', 'leased/partition/Default']) {
      for (const wait of ['', '?wait=true&timeout=50', '?wait=true&timeout=0', '?wait=true&timeout=-5']) {
        const { status, json } = await service.pop(path + wait)
        t.equal(status, 200)
        t.match(json, { success: true, messages: [], partitionId: null, leaseId: null, consumerGroup: '__QUEUE_MODE__' })
        t.equal(json.queue, path.split('/')[0])
      }
    }
  })

  t.test('answers a waiting pop when a message comes, also to a queue that did not exist before', async t => {
    const parked = [take(service, `later?${PATIENT}`), take(service, `later/partition/p?${PATIENT}&consumerGroup=g`)]
    await pushIds(service, 'later', ['x'], 'p')
    for (const messages of await Promise.all(parked)) t.equal(messages[0]?.transactionId, 'x')
  })

  t.test('pops only the named partition, Default included', async t => {
    await pushIds(service, 'named', ['d'])
    await pushIds(service, 'named', ['p1', 'p2'], 'p')
    t.same(await takeIds(service, 'named/partition/p?batch=10'), ['p1', 'p2'])
    t.same(await takeIds(service, 'named/partition/p?batch=10'), [], 'it is leased')
    t.same(await takeIds(service, 'named/partition/Default?batch=10&partitions=5'), ['d'])
  })

  t.test('brings one message unless told otherwise, and reads parameters leniently', async t => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l']
    const batches: [string, number][] = [
      ['', 1], ['batch=', 1], ['batch=x', 1], ['batch=0', 1], ['batch=-3', 1], ['batch=99999999999', 1], ['batch=10abc', 10], ['batch=2&batch=5', 2], ['xbatch=7', 1]
    ]
    for (const [i, [query, count]] of batches.entries()) {
      await pushIds(service, `lenient${i}`, ids)
      t.same(await takeIds(service, `lenient${i}?${query}`), ids.slice(0, count), query)
    }
    const few = await startService(t, { databaseUrl: service.databaseUrl, maxBatchSize: 3, defaultBatchSize: 2 })
    await pushIds(service, 'capped', ids)
    t.same(await takeIds(few, 'capped?consumerGroup=g1'), ['a', 'b'], 'the default batch of the service')
    t.same(await takeIds(few, 'capped?consumerGroup=g2&batch=100'), ['a', 'b', 'c'], 'cut to the largest batch')
    const flags: [string, string][] = [['autoAck=true', ''], ['autoAck=1', ''], ['autoAck=yes', 'lease'], ['autoAck=TRUE', 'lease'], ['autoAck=', 'lease']]
    for (const [i, [query, lease]] of flags.entries()) {
      await pushIds(service, `flag${i}`, ['x'])
      t.equal((await takeOne(service, `flag${i}?${query}`)).leaseId === '', lease === '', query)
    }
  })

  t.test('claims several partitions under one lease id, each message naming its own partition', async t => {
    for (const partition of ['p1', 'p2', 'p3', 'p4']) await pushIds(service, 'many', [`${partition}a`, `${partition}b`], partition)
    const { json } = await service.pop('many?batch=100&partitions=3')
    t.equal(json.partitionsClaimed, 3)
    t.equal(json.messages.length, 6)
    t.equal(json.partition, json.messages[0].partition)
    t.equal(json.partitionId, json.messages[0].partitionId)
    const seen = new Map<string, string[]>()
    for (const { partition, transactionId, leaseId, partitionId } of json.messages) {
      t.equal(leaseId, json.leaseId)
      seen.set(partition, [...seen.get(partition) ?? [], transactionId])
      const [row] = await sql`select name from regent.partitions where regent.message_id(id, 0) = ${partitionId}::uuid`
      t.equal(row?.name, partition)
    }
    for (const [partition, ids] of seen) t.same(ids, [`${partition}a`, `${partition}b`], 'in order within the partition')
    const rest = await take(service, 'many?batch=100&partitions=9')
    t.equal(rest.length, 2, 'only the fourth was left')
    t.not(rest[0]?.leaseId, json.leaseId)
    const results = await ackBatch(service, json.messages.map((message: any) => ({ message })))
    t.same(results.map(result => result.success), Array(6).fill(true), 'one lease, acknowledged over all its partitions')
  })

  t.test('counts a batch over all claimed partitions', async t => {
    for (const partition of ['p1', 'p2', 'p3']) await pushIds(service, 'cap', [1, 2, 3].map(n => `${partition}-${n}`), partition)
    const first = await take(service, 'cap?batch=5&partitions=3')
    t.equal(first.length, 5)
    t.equal(new Set(first.map(message => message.partition)).size, 2, 'the second is cut, the third not claimed')
    const second = await take(service, 'cap?batch=5&partitions=3')
    t.equal(second.length, 3)
    t.equal(new Set(second.map(message => message.partition)).size, 1)
    const results = await ackBatch(service, first.map(message => ({ message })))
    t.same(results.at(-1).leaseReleased, true, 'the lease ends with what was delivered, not with what is there')
    t.equal((await take(service, 'cap?batch=5')).length, 1, 'the rest of the cut partition')
  })

  t.test('keeps one batch in flight per partition and group, groups independent of one another', async t => {
    await pushIds(service, 'flight', ['a', 'b'])
    const held = await takeOne(service, 'flight?consumerGroup=g')
    t.same(await takeIds(service, 'flight?consumerGroup=g'), [])
    t.same(await takeIds(service, 'flight?consumerGroup=h&batch=2'), ['a', 'b'])
    t.same(await takeIds(service, 'flight?batch=2'), ['a', 'b'], 'queue mode is a group of its own')
    t.equal(held.consumerGroup, 'g')
    await ackOne(service, held)
    t.same(await takeIds(service, 'flight?consumerGroup=g'), ['b'])
  })

  t.test('serves the partition that has waited longest', async t => {
    for (const partition of ['a', 'b', 'c']) await pushIds(service, 'fair', [`${partition}1`, `${partition}2`], partition)
    const served: string[] = []
    for (let i = 0; i < 6; i++) {
      const message = await takeOne(service, 'fair')
      served.push(message.transactionId)
      await ackOne(service, message)
    }
    t.same(served, ['a1', 'b1', 'c1', 'a2', 'b2', 'c2'])
  })

  t.test('commits on delivery with autoAck and takes no lease', async t => {
    await pushIds(service, 'auto', ['a', 'b', 'c'])
    const { json } = await service.pop('auto?batch=2&autoAck=true')
    t.equal(json.leaseId, '')
    t.same(json.messages.map((message: any) => [message.transactionId, message.leaseId]), [['a', ''], ['b', '']])
    t.same(await takeIds(service, 'auto?batch=9&autoAck=true'), ['c'], 'the next one follows at once')
    await expireLeases(sql, 'auto')
    t.same(await takeIds(service, 'auto?batch=9'), [], 'and nothing comes back')
  })

  t.test('delivers a message when it is old enough under delayedProcessing', async t => {
    await configure(service, 'delayed', { delayedProcessing: 1 })
    await pushIds(service, 'delayed', ['x', 'y'])
    t.same(await takeIds(service, 'delayed?batch=5'), [])
    t.same(await takeIds(service, 'delayed/partition/Default?batch=5'), [])
    const messages = await take(service, `delayed?batch=5&${PATIENT}`)
    t.same(messages.map(message => message.transactionId), ['x', 'y'])
    t.ok(Date.now() - Date.parse(messages[0]?.createdAt ?? '') >= 999, 'not before its time')
  })

  t.test('leaves younger messages behind those that are due', async t => {
    await configure(service, 'ripening', { delayedProcessing: 3600 })
    await pushIds(service, 'ripening', ['old'])
    await sql`update regent.segments s set created_at = s.created_at - interval '2 hours'
      from regent.partitions p join regent.queues q on q.id = p.queue_id where p.id = s.partition_id and q.name = 'ripening'`
    await pushIds(service, 'ripening', ['young'])
    t.same(await takeIds(service, 'ripening?batch=5&autoAck=true'), ['old'])
    t.same(await takeIds(service, 'ripening?batch=5'), [])
  })

  t.test('holds a partition back under windowBuffer until it has been quiet', async t => {
    await configure(service, 'window', { windowBuffer: 1 })
    await pushIds(service, 'window', ['a'])
    t.same(await takeIds(service, 'window?batch=5'), [])
    await pushIds(service, 'window', ['b'])
    const messages = await take(service, `window?batch=5&${PATIENT}`)
    t.same(messages.map(message => message.transactionId), ['a', 'b'], 'together')
    t.ok(Date.now() - Date.parse(messages[1]?.createdAt ?? '') >= 999, 'a second after the last one')
  })

  t.test('returns to lease 60 seconds where the queue says 0', async t => {
    await configure(service, 'zero', { leaseTime: 0 })
    await pushIds(service, 'zero', ['x'])
    await take(service, 'zero')
    const [row] = await sql<{ seconds: number }[]>`
      select extract(epoch from c.available_at - clock_timestamp())::float8 as seconds from regent.cursors c
        join regent.partitions p on p.id = c.partition_id join regent.queues q on q.id = p.queue_id where q.name = 'zero'`
    t.ok(row !== undefined && row.seconds > 30 && row.seconds <= 60)
  })
})
