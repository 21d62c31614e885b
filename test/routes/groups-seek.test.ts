import t from 'tap'
import { connect, startService, until } from '../support.ts'
import { ackBatch, ackOne, pushIds, take, takeIds, takeOne } from './consumer.ts'

const MILLIS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.test('seeking of consumer groups', async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  const sql = connect(t, service.databaseUrl)
  const seek = async (path: string, body?: unknown): Promise<any> => await service.call('POST', `/api/v1/consumer-groups/${path}/seek`, body)
  const sought = async (path: string, body?: unknown): Promise<any> => {
    const { status, json, text } = await seek(path, body)
    t.equal(status, 200, text)
    return json
  }
  const drained = async (queue: string): Promise<boolean[]> => (await sql`
    select c.available_at = 'infinity' as drained from regent.cursors c join regent.partitions p on p.id = c.partition_id
      join regent.queues q on q.id = p.queue_id where q.name = ${queue} order by p.id`).map(row => row.drained)

  t.test('moves every partition to its end, so that only later messages come', async t => {
    await pushIds(service, 'end', ['1', '2'], 'a')
    await pushIds(service, 'end', ['3'], 'b')
    t.same(await takeIds(service, 'end/partition/a?consumerGroup=g'), ['1'])
    t.strictSame(await sought('g/queues/end', { toEnd: true, timestamp: null }),
      { success: true, consumerGroup: 'g', queueName: 'end', seekToEnd: true, targetTimestamp: null, partitionsUpdated: 2 })
    t.same(await drained('end'), [true, true])
    t.same(await takeIds(service, 'end?consumerGroup=g&batch=9&partitions=9'), [])
    await pushIds(service, 'end', ['4'], 'a')
    t.same(await takeIds(service, 'end?consumerGroup=g&batch=9&partitions=9'), ['4'])
    t.same(await takeIds(service, 'end?consumerGroup=other&batch=9&partitions=9'), ['1', '2', '4', '3'], 'other groups stay where they are')
  })

  t.test('moves every partition to its start', async t => {
    await pushIds(service, 'start', ['1', '2', '3'])
    await takeIds(service, 'start?consumerGroup=g&batch=9&autoAck=true')
    await sql`update regent.partitions p set tail = 1 from regent.queues q where q.id = p.queue_id and q.name = 'start'`
    t.strictSame(await sought('g/queues/start', { toStart: true }),
      { success: true, consumerGroup: 'g', queueName: 'start', seekToEnd: false, targetTimestamp: null, partitionsUpdated: 1 })
    t.same(await takeIds(service, 'start?consumerGroup=g&batch=9&autoAck=true'), ['2', '3'], 'never back into what was deleted')
    await sql`update regent.partitions p set tail = head from regent.queues q where q.id = p.queue_id and q.name = 'start'`
    await sought('g/queues/start', { toStart: true })
    t.same(await drained('start'), [true])
    t.same(await takeIds(service, 'start?consumerGroup=g'), [])
  })

  t.test('moves every partition behind the last message at or before a time', async t => {
    for (const id of ['1', '2', '3']) await pushIds(service, 'time', [id])
    const messages = await take(service, 'time?consumerGroup=g&batch=9&autoAck=true')
    const at = (i: number): string => messages[i]?.createdAt ?? ''
    const read = async (timestamp: string): Promise<string[]> => {
      t.match(await sought('g/queues/time', { timestamp }), { seekToEnd: false, targetTimestamp: MILLIS, partitionsUpdated: 1 })
      return await takeIds(service, 'time?consumerGroup=g&batch=9&autoAck=true')
    }
    t.same(await read(at(1)), ['3'], 'the message of that very microsecond counts as read')
    t.same(await read(at(0)), ['2', '3'])
    t.same(await read('1970-01-01'), ['1', '2', '3'], 'a very old time is the beginning')
    t.same(await read('2999-01-01T00:00:00Z'), [])
    t.same(await drained('time'), [true])
    t.equal((await sought('g/queues/time', { timestamp: '2026-01-02T03:04:05.678901+01:00', toEnd: false })).targetTimestamp, '2026-01-02T02:04:05.678Z')
  })

  t.test('goes back to before the subscription', async t => {
    await pushIds(service, 'before', ['1', '2'])
    t.same(await takeIds(service, 'before?consumerGroup=g&subscriptionMode=new'), [])
    await sought('g/queues/before', { timestamp: '2000-01-01T00:00:00Z' })
    t.same(await takeIds(service, 'before?consumerGroup=g&batch=9'), ['1', '2'])
  })

  t.test('ends leases: what their holders say about unread messages is refused', async t => {
    await pushIds(service, 'lease', ['1', '2'])
    const held = await take(service, 'lease?consumerGroup=g&batch=2')
    await sought('g/queues/lease', { toStart: true })
    t.match(await ackBatch(service, held.map(message => ({ message })), 'g'), held.map(() => ({ success: false, error: 'Invalid or expired lease' })))
    for (const status of ['failed', 'retry', 'dlq']) {
      t.match(await ackBatch(service, held.map(message => ({ message, status })), 'g'), held.map(() => ({ success: false, error: 'Invalid or expired lease' })), status)
    }
    t.equal((await service.call('POST', `/api/v1/lease/${held[0]?.leaseId}/extend`, {})).status, 404)
    const again = await take(service, 'lease?consumerGroup=g&batch=2')
    t.same(again.map(message => [message.transactionId, message.deliveryCount]), held.map(message => [message.transactionId, message.deliveryCount]),
      'ending a lease so does not count as a delivery')
    t.match(await ackBatch(service, again.map(message => ({ message })), 'g'), again.map(() => ({ success: true })))
  })

  t.test('forgets failures and what was acknowledged out of order, but not what was deleted', async t => {
    await service.call('POST', '/api/v1/configure', { queue: 'forgets', options: { retryDelay: 0 } })
    await pushIds(service, 'forgets', ['1', '2', '3', '4'])
    const messages = await take(service, 'forgets?consumerGroup=g&batch=4')
    await ackBatch(service, messages.map((message, i) => ({ message, status: i === 0 ? 'failed' : 'completed' })), 'g')
    t.match(await takeOne(service, 'forgets?consumerGroup=g&batch=4'), { transactionId: '1', retryCount: 1 })
    await sql`insert into regent.tombstones (partition_id, position) select p.id, 3 from regent.partitions p
      join regent.queues q on q.id = p.queue_id where q.name = 'forgets'`
    await sought('g/queues/forgets', { toStart: true })
    const again = await take(service, 'forgets?consumerGroup=g&batch=4')
    t.same(again.map(message => [message.transactionId, message.retryCount, message.deliveryCount]), [['1', 0, 1], ['2', 0, 1], ['4', 0, 1]])
    t.same([...await sql`select * from regent.attempts`], [])
  })

  t.test('moves one partition to its end without a body, and as asked with one', async t => {
    await pushIds(service, 'one', ['1', '2'], 'a')
    await pushIds(service, 'one', ['3'], 'b')
    await takeIds(service, 'one?consumerGroup=g')
    const path = 'g/queues/one/partitions/a'
    const [row] = await sql`select regent.wire_millis(s.created_at) as at from regent.segments s join regent.partitions p on p.id = s.partition_id
      join regent.queues q on q.id = p.queue_id where q.name = 'one' and p.name = 'a'`
    for (const body of [undefined, '', '{}', '[]', 'null', '{"toEnd":true}', '{"unknown":1}']) {
      await sought(path, { toStart: true })
      t.strictSame(await sought(path, body),
        { success: true, consumerGroup: 'g', queueName: 'one', partitionName: 'a', updated: true, cursorMovedTo: row?.at }, `body ${body ?? 'none'}`)
      t.same(await takeIds(service, 'one/partition/a?consumerGroup=g'), [])
    }
    t.same(await takeIds(service, 'one?consumerGroup=g&batch=9&autoAck=true'), ['3'], 'the other one stays')
    t.match(await sought(path, { timestamp: '2000-01-01' }), { updated: true, cursorMovedTo: null })
    t.same(await takeIds(service, 'one/partition/a?consumerGroup=g&batch=9'), ['1', '2'])
    t.match(await sought('nobody/queues/one/partitions/a'), { updated: false, cursorMovedTo: row?.at }, 'nothing is made for an unknown group')
    t.same([...await sql`select from regent.groups where name = 'nobody'`], [])
    for (const unknown of ['g/queues/one/partitions/c', 'g/queues/none/partitions/a']) {
      const { status, json } = await seek(unknown)
      t.equal(status, 404)
      t.match(json, { error: 'Partition not found', code: 'RGT_PARTITION_UNKNOWN' })
    }
  })

  t.test('moves nothing for an unknown group or queue', async t => {
    t.match(await sought('nobody/queues/one', { toEnd: true }), { success: true, partitionsUpdated: 0 })
    t.match(await sought('g/queues/none', { timestamp: '2026-01-01' }), { success: true, partitionsUpdated: 0, targetTimestamp: '2026-01-01T00:00:00.000Z' })
  })

  t.test('covers all partitions in several steps, also those that a new group had no cursor for yet', async t => {
    await service.push(Array.from({ length: 2500 }, (_, i) => ({ queue: 'wide', partition: `p${i}`, payload: i })))
    // Its first look makes the cursors of 1000 partitions and finds a message among them.
    await takeIds(service, 'wide?consumerGroup=g')
    const [seeding] = await sql`select seeded_to is not null as unfinished from regent.groups g join regent.queues q on q.id = g.queue_id where q.name = 'wide'`
    t.equal(seeding?.unfinished, true)
    t.equal((await sought('g/queues/wide', { toEnd: true })).partitionsUpdated, 2500)
    t.same([...new Set(await drained('wide'))], [true])
    t.equal((await sought('g/queues/wide', { toStart: true })).partitionsUpdated, 2500)
    t.equal((await take(service, 'wide?consumerGroup=g&batch=5000&partitions=5000')).length, 2500)
  })

  t.test('wakes the pops that wait, also those at another instance', async t => {
    const second = await startService(t, { safetyNetMs: 0, databaseUrl: service.databaseUrl })
    await pushIds(service, 'wakes', ['1'], 'a')
    await pushIds(service, 'wakes', ['2'], 'b')
    await takeIds(service, 'wakes?consumerGroup=g&batch=9&partitions=9&autoAck=true')
    for (const [path, body] of [['g/queues/wakes', { toStart: true }], ['g/queues/wakes/partitions/b', { timestamp: '2000-01-01' }]] as const) {
      const waiting = takeIds(second, 'wakes?consumerGroup=g&batch=9&partitions=9&autoAck=true&wait=true&timeout=20000')
      await until(async () => (await second.call('GET', '/health')).json.load.parkedPops > 0)
      await sought(path, body)
      t.ok((await waiting).includes('2'), path)
      await takeIds(service, 'wakes?consumerGroup=g&batch=9&partitions=9&autoAck=true')
    }
  })

  t.test('refuses bodies that do not say where to', async t => {
    await pushIds(service, 'bad', ['1'])
    await ackOne(service, await takeOne(service, 'bad?consumerGroup=g'))
    const bodies: [unknown, string | undefined, string | undefined][] = [
      [{}, 'toEnd', "Must specify either 'toEnd': true or 'timestamp'"],
      [[], 'toEnd', "Must specify either 'toEnd': true or 'timestamp'"],
      [{ toEnd: false }, 'toEnd', "Must specify either 'toEnd': true or 'timestamp'"],
      [{ toEnd: 'true' }, 'toEnd', undefined],
      [{ toEnd: null, timestamp: '2026-01-01' }, 'toEnd', undefined],
      [{ toStart: 1 }, 'toStart', undefined],
      [{ timestamp: null }, 'timestamp', undefined],
      [{ timestamp: 1767225600 }, 'timestamp', undefined],
      [{ timestamp: 'yesterday' }, 'timestamp', undefined],
      ['', undefined, 'Empty request body'],
      ['{', undefined, undefined]
    ]
    for (const [body, field, error] of bodies) {
      const { status, json } = await seek('g/queues/bad', body)
      t.equal(status, 400, JSON.stringify(body))
      t.equal(json.field, field)
      if (error !== undefined) t.equal(json.error, error)
    }
    for (const body of ['{', { timestamp: 'yesterday' }, { toEnd: 1 }]) {
      t.equal((await seek('g/queues/bad/partitions/Default', body)).status, 400, JSON.stringify(body))
    }
    t.equal((await seek(`${'g'.repeat(256)}/queues/bad`, { toEnd: true })).status, 400)
  })
})
