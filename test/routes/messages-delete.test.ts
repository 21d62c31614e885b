import t from 'tap'
import { connect, startService, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { PATIENT, ackBatch, ackOne, configure, expireLeases, pushIds, take, takeIds, takeOne } from './consumer.ts'

const NOWHERE = '00000000-0000-8000-8000-000000000000'

t.test('deleting a message', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const partitionOf = async (queue: string): Promise<string> => (await service.call('GET', `/api/v1/messages?queue=${queue}`)).json.messages[0].partitionId
  const remove = async (partitionId: string, id: string): Promise<Answer> => await service.call('DELETE', `/api/v1/messages/${partitionId}/${id}`)
  const group = async (queue: string, name: string): Promise<any> => (await sql`
    select c.committed::int, c.acked::text, c.available_at = 'infinity' as drained, c.lease_id is not null as leased, c.retried,
           regent.unread(p.head, c.committed, c.acked)::int as unread
      from regent.cursors c join regent.partitions p on p.id = c.partition_id join regent.queues q on q.id = p.queue_id
      join regent.groups g on g.id = c.group_id where q.name = ${queue} and g.name = ${name}`)[0]

  t.test('says so once, and is no error the second time', async t => {
    await pushIds(service, 'said', ['a', 'b'])
    const partitionId = await partitionOf('said')
    const first = await remove(partitionId, 'a')
    t.equal(first.status, 200)
    t.strictSame(first.json, { success: true, partitionId, transactionId: 'a', message: 'Message deleted successfully' })
    const second = await remove(partitionId, 'a')
    t.equal(second.status, 200)
    t.strictSame(second.json, { success: false, partitionId, transactionId: 'a', message: 'Message not found' })
    t.equal((await remove(NOWHERE, 'a')).json.success, false)
    t.equal((await remove('6f7d4c7e-55e3-4a2b-9d86-0f0f6c2b7a11', 'a')).json.success, false)
    const bad = await remove('nonsense', 'a')
    t.equal(bad.status, 400)
    t.equal(bad.json.field, 'partitionId')
    t.equal((await service.call('GET', `/api/v1/messages/${partitionId}/a`)).status, 404)
    t.strictSame((await service.call('GET', '/api/v1/messages?queue=said')).json.messages.map((m: any) => m.transactionId), ['b'])
  })

  t.test('leaves nothing of the payload and keeps its neighbours as they were', async t => {
    await service.push(['a', 'b', 'c'].map(id => ({ queue: 'payload', transactionId: id, payload: { text: `the secret of ${id}` } })))
    await remove(await partitionOf('payload'), 'b')
    const [row] = await sql`
      select s.body, s.bytes, octet_length(s.body) as length, s.count, cardinality(s.tx) as hashes
        from regent.segments s join regent.partitions p on p.id = s.partition_id join regent.queues q on q.id = p.queue_id where q.name = 'payload'`
    t.notMatch(row?.body, /secret of b/)
    t.equal(row?.bytes, row?.length)
    t.strictSame([row?.count, row?.hashes], [3, 3])
    t.strictSame((await take(service, 'payload?batch=9')).map(m => m.data.text), ['the secret of a', 'the secret of c'])
  })

  t.test('keeps it from groups that exist and from those that come later', async t => {
    await pushIds(service, 'groups', ['a', 'b', 'c'])
    await takeIds(service, 'groups?consumerGroup=early&batch=1')
    await expireLeases(sql, 'groups')
    await remove(await partitionOf('groups'), 'b')
    t.strictSame(await takeIds(service, 'groups?consumerGroup=early&batch=9&autoAck=true'), ['a', 'c'])
    t.strictSame(await takeIds(service, 'groups?consumerGroup=late&batch=9&autoAck=true'), ['a', 'c'])
    t.match(await group('groups', 'early'), { unread: 0 })
    t.match(await group('groups', 'late'), { unread: 0 })
    await remove(await partitionOf('groups'), 'a')
    await remove(await partitionOf('groups'), 'c')
    t.strictSame(await takeIds(service, 'groups?consumerGroup=last&batch=9'), [])
    t.match(await group('groups', 'last'), { unread: 0, drained: true, acked: '{}' })
  })

  t.test('of the only one left drains the cursor, and a later push wakes a parked pop', async t => {
    await pushIds(service, 'only', ['a', 'b'])
    await ackOne(service, await takeOne(service, 'only'))
    await remove(await partitionOf('only'), 'b')
    t.strictSame(await group('only', '__QUEUE_MODE__'), { committed: 2, acked: '{}', drained: true, leased: false, retried: false, unread: 0 })
    const waiting = takeIds(service, `only?${PATIENT}`)
    await until(async () => (await service.call('GET', '/health')).json.load.parkedPops > 0)
    await pushIds(service, 'only', ['c'])
    t.strictSame(await waiting, ['c'])
  })

  t.test('that is leased lets its holder acknowledge, on this instance', async t => {
    await pushIds(service, 'leased', ['a', 'b', 'c'])
    const held = await take(service, 'leased?batch=2')
    await remove(await partitionOf('leased'), 'a')
    t.match(await group('leased', '__QUEUE_MODE__'), { committed: 1, leased: true })
    const results = await ackBatch(service, held.map(message => ({ message })))
    t.strictSame(results.map(({ success, error }) => ({ success, error })), [{ success: true, error: null }, { success: true, error: null }])
    t.strictSame(await takeIds(service, 'leased?batch=9'), ['c'])
  })

  t.test('that is the last of a lease ends it: what follows can be had at once, also by who waits', async t => {
    await pushIds(service, 'ends', ['a', 'b', 'c'])
    const [a, b] = await take(service, 'ends?batch=2')
    if (a === undefined || b === undefined) throw new Error('two were to come')
    await ackOne(service, a)
    const waiting = takeIds(service, `ends?${PATIENT}`)
    await until(async () => (await service.call('GET', '/health')).json.load.parkedPops > 0)
    await remove(a.partitionId, 'b')
    t.strictSame(await waiting, ['c'])
    t.equal((await ackOne(service, b)).success, true)
  })

  t.test('frees its id for all instances: the next message with it is a new one', async t => {
    const second = await startService(t, { databaseUrl: service.databaseUrl })
    await pushIds(service, 'again', ['a', 'b'])
    const partitionId = await partitionOf('again')
    t.equal((await service.push([{ queue: 'again', transactionId: 'a' }])).json[0].status, 'duplicate')
    await remove(partitionId, 'a')
    const [pushed] = (await service.push([{ queue: 'again', transactionId: 'a', payload: 'new' }])).json
    t.equal(pushed.status, 'queued')
    t.equal((await second.push([{ queue: 'again', transactionId: 'a' }])).json[0].status, 'duplicate')
    await remove(partitionId, 'a')
    t.equal((await second.push([{ queue: 'again', transactionId: 'a', payload: 'newer' }])).json[0].status, 'queued')
    t.strictSame((await take(service, 'again?batch=9')).map(m => [m.transactionId, m.data]), [['b', 'b'], ['a', 'newer']])
  })

  t.test('takes every copy of it: one that was put back stands beside the original', async t => {
    await configure(service, 'copies', { retryLimit: 0 })
    await pushIds(service, 'copies', ['a', 'b'])
    await takeIds(service, 'copies?consumerGroup=slow&batch=1&autoAck=true')
    const { partitionId } = await takeOne(service, 'copies?consumerGroup=g')
    const [message] = await take(service, 'copies?consumerGroup=h')
    if (message === undefined) throw new Error('a message was expected')
    t.equal((await ackBatch(service, [{ message, status: 'failed' }], 'h'))[0].success, true)
    t.equal((await service.call('POST', '/api/v1/dlq/redrive', { queue: 'copies' })).json.redriven, 1)
    t.equal((await remove(partitionId, 'a')).json.success, true)
    t.same(await takeIds(service, 'copies?consumerGroup=late&batch=9'), ['b'])
    t.equal((await remove(partitionId, 'a')).json.success, false)
  })

  t.test('takes its dead letters and its attempts along', async t => {
    await configure(service, 'dead', { retryLimit: 1, retryDelay: 0 })
    await pushIds(service, 'dead', ['a', 'b'])
    for (const consumerGroup of ['one', 'two']) {
      const [a] = await take(service, `dead?batch=2&consumerGroup=${consumerGroup}`)
      if (a === undefined) throw new Error('nothing came')
      await ackOne(service, a, { status: 'dlq', error: 'bad' })
      await expireLeases(sql, 'dead')
    }
    const failing = await take(service, 'dead?batch=2&consumerGroup=three')
    await ackBatch(service, failing.map(message => ({ message, status: 'failed' })), 'three')
    t.equal((await sql`select from regent.attempts`).length, 2)
    await remove(await partitionOf('dead'), 'a')
    t.equal((await sql`select from regent.dead_letters where queue = 'dead'`).length, 0)
    t.equal((await sql`select from regent.attempts`).length, 1)
    await remove(await partitionOf('dead'), 'b')
    t.equal((await sql`select from regent.attempts`).length, 0)
    t.match(await group('dead', 'three'), { drained: true, retried: false })
  })

  t.test('takes its traces along, and those of no other message', async t => {
    await pushIds(service, 'traced', ['a', 'b'])
    const partitionId = await partitionOf('traced')
    const trace = async (id: string): Promise<void> => {
      const { status, text } = await service.call('POST', '/api/v1/traces', { partitionId, transactionId: id, traceNames: [`of-${id}`], data: { text: id } })
      if (status !== 201) throw new Error(text)
    }
    await trace('a')
    await trace('b')
    await remove(partitionId, 'a')
    const left = async (id: string): Promise<number> => (await service.call('GET', `/api/v1/traces/by-name/of-${id}`)).json.traces.length
    t.equal(await left('a'), 0)
    t.equal(await left('b'), 1)
    await service.call('DELETE', '/api/v1/queues/traced/clear')
    t.equal(await left('b'), 0)
  })

  t.test('that is only left as a dead letter deletes that', async t => {
    await pushIds(service, 'left', ['a'])
    const a = await takeOne(service, 'left')
    await ackOne(service, a, { status: 'dlq' })
    await service.call('DELETE', '/api/v1/queues/left/clear')
    t.equal((await remove(a.partitionId, 'a')).json.success, true)
    t.equal((await sql`select from regent.dead_letters where queue = 'left'`).length, 0)
    t.equal((await remove(a.partitionId, 'a')).json.success, false)
  })
})
