import t from 'tap'
import { connect, startService, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { PATIENT, ackBatch, ackOne, expireLeases, pushIds, take, takeIds, takeOne } from './consumer.ts'

t.test('clearing a queue', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const clear = async (path: string): Promise<Answer> => await service.call('DELETE', `/api/v1/queues/${path}`)
  const stored = async (queue: string): Promise<number> => (await sql`
    select from regent.segments s join regent.partitions p on p.id = s.partition_id join regent.queues q on q.id = p.queue_id
      where q.name = ${queue}`).length

  t.test('deletes every message of every partition and keeps queue, groups and positions', async t => {
    for (const partition of ['p1', 'p2', 'p3']) await pushIds(service, 'all', ['a', 'b', 'c'], partition)
    const [first] = await take(service, 'all/partition/p1?batch=2')
    await take(service, 'all?consumerGroup=other&batch=9&partitions=9&autoAck=true')
    await pushIds(service, 'all', ['d'], 'p2')
    await service.call('DELETE', `/api/v1/messages/${first?.partitionId ?? ''}/c`)
    const { status, json } = await clear('all/clear')
    t.equal(status, 200)
    t.strictSame(json, { success: true, queue: 'all', partition: null, cleared: 9 })
    t.equal(await stored('all'), 0)
    const cursors = await sql`
      select c.committed = p.head as through, c.acked::text, c.available_at = 'infinity' as drained, c.lease_id, c.retried
        from regent.cursors c join regent.partitions p on p.id = c.partition_id`
    t.equal(cursors.length, 6)
    for (const cursor of cursors) t.same(cursor, { through: true, acked: '{}', drained: true, lease_id: null, retried: false })
    const partitions = await sql`select name, head::int, tail::int, oldest_at = 'infinity' as empty from regent.partitions where name ~ '^p' order by name`
    t.same(partitions, [{ name: 'p1', head: 3, tail: 3, empty: true }, { name: 'p2', head: 4, tail: 4, empty: true }, { name: 'p3', head: 3, tail: 3, empty: true }])
    t.equal((await sql`select from regent.tombstones`).length, 0)
    t.strictSame((await service.call('GET', '/api/v1/messages?queue=all')).json.messages, [])
    t.strictSame((await clear('all/clear')).json, { success: true, queue: 'all', partition: null, cleared: 0 })
    t.strictSame(await takeIds(service, 'all?consumerGroup=late&batch=9&partitions=9'), [])
    await pushIds(service, 'all', ['e'], 'p1')
    for (const query of ['batch=9', 'batch=9&consumerGroup=other', 'batch=9&consumerGroup=late']) {
      const message = await takeOne(service, `all?${query}`)
      t.match(message, { transactionId: 'e', partition: 'p1', id: /000004$/ })
    }
  })

  t.test('keeps to one partition when asked to', async t => {
    await pushIds(service, 'one', ['a', 'b'], 'x')
    await pushIds(service, 'one', ['c'], 'y')
    t.strictSame((await clear('one/clear?partition=x')).json, { success: true, queue: 'one', partition: 'x', cleared: 2 })
    t.equal(await stored('one'), 1)
    t.strictSame(await takeIds(service, 'one?batch=9&partitions=9'), ['c'])
  })

  t.test('works through more partitions than one step takes', async t => {
    const partitions = Array.from({ length: 120 }, (_, i) => `p${i}`)
    await service.push(partitions.map(partition => ({ queue: 'many', partition, payload: 1 })))
    t.equal((await clear('many/clear')).json.cleared, 120)
    t.equal(await stored('many'), 0)
  })

  t.test('is not undone by leases, retries or what was delivered before', async t => {
    await pushIds(service, 'held', ['a', 'b', 'c'])
    const failing = await take(service, 'held?batch=2&consumerGroup=g')
    await ackBatch(service, failing.map(message => ({ message, status: 'retry' })), 'g')
    await expireLeases(sql, 'held')
    const held = await take(service, 'held?batch=2&consumerGroup=g')
    t.equal(held.length, 2)
    await clear('held/clear')
    t.equal((await sql`select from regent.attempts`).length, 0)
    t.same((await ackBatch(service, held.map(message => ({ message })), 'g')).map(result => result.success), [true, true])
    t.strictSame(await takeIds(service, 'held?batch=9&consumerGroup=g'), [])
    const waiting = takeIds(service, `held?consumerGroup=g&${PATIENT}`)
    await until(async () => (await service.call('GET', '/health')).json.load.parkedPops > 0)
    // Ids of cleared messages are free.
    await pushIds(service, 'held', ['a'])
    t.strictSame(await waiting, ['a'])
  })

  t.test('leaves the dead letters', async t => {
    await pushIds(service, 'dead', ['a', 'b'])
    await ackOne(service, await takeOne(service, 'dead'), { status: 'dlq' })
    t.equal((await clear('dead/clear')).json.cleared, 2)
    t.equal((await sql`select from regent.dead_letters where queue = 'dead'`).length, 1)
  })

  t.test('of a queue or partition that is not there is not found', async t => {
    const unknown = await clear('nothing/clear')
    t.equal(unknown.status, 404)
    t.match(unknown.json, { error: 'Queue not found', code: 'RGT_QUEUE_UNKNOWN' })
    const partition = await clear('one/clear?partition=z')
    t.equal(partition.status, 404)
    t.match(partition.json, { error: 'Partition not found', code: 'RGT_PARTITION_UNKNOWN' })
    t.equal((await clear(`one/clear?partition=${'p'.repeat(256)}`)).status, 400)
  })
})
