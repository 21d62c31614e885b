import t from 'tap'
import { connect, startService } from '../support.ts'
import { messageId } from '../../services/log/ids.ts'
import { ackBatch, pushIds, take, takeIds } from './consumer.ts'

const MILLIS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.test('lists of consumer groups', async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  const sql = connect(t, service.databaseUrl)
  const get = async (path: string): Promise<any> => {
    const answer = await service.call('GET', `/api/v1/consumer-groups${path}`)
    t.equal(answer.status, 200, path)
    return answer.json
  }
  /** Make a queue's messages look as if they had been written so many seconds earlier. */
  const age = async (queue: string, seconds: number, upto = 1e9): Promise<void> => {
    await sql`update regent.segments s set created_at = s.created_at - make_interval(secs => ${seconds})
      from regent.partitions p join regent.queues q on q.id = p.queue_id where p.id = s.partition_id and q.name = ${queue} and s.first <= ${upto}`
  }
  const entry = async (queue: string, group: string): Promise<any> =>
    (await get('')).find((item: any) => item.queueName === queue && item.name === group)

  t.test('are empty as long as there are no groups', async t => {
    t.same(await get(''), [])
    t.same(await get('/lagging'), [])
    t.same(await get('/nobody'), {})
  })

  t.test('show every group of every queue with all fields, sorted by group and queue', async t => {
    await pushIds(service, 'list-b', ['1', '2', '3'])
    await pushIds(service, 'list-b', ['4'], 'other')
    await pushIds(service, 'list-a', ['1'])
    await take(service, 'list-b?batch=2&consumerGroup=list-y')
    await take(service, 'list-b?consumerGroup=list-x&subscriptionMode=new')
    await take(service, 'list-a?consumerGroup=list-y&subscriptionFrom=2020-02-03T04:05:06.789%2B01:00&autoAck=true')
    await take(service, 'list-a?autoAck=true')
    const items = (await get('')).filter((item: any) => item.queueName.startsWith('list-'))
    t.same(items.map((item: any) => [item.name, item.queueName]),
      [['__QUEUE_MODE__', 'list-a'], ['list-x', 'list-b'], ['list-y', 'list-a'], ['list-y', 'list-b']])
    const [, x, ya, yb] = items
    t.strictSame({ ...yb, maxTimeLag: 0 }, {
      name: 'list-y',
      queueName: 'list-b',
      topics: ['list-b'],
      members: 2,
      partitionsWithLag: 2,
      totalLag: 4,
      maxTimeLag: 0,
      state: 'Stable',
      subscriptionMode: null,
      subscriptionTimestamp: null,
      subscriptionCreatedAt: null
    }, 'what is leased but not acknowledged is unread')
    t.type(yb.maxTimeLag, 'number')
    t.match(x, { members: 2, partitionsWithLag: 0, totalLag: 0, maxTimeLag: 0, state: 'Dead', subscriptionMode: 'new' })
    t.match(x.subscriptionTimestamp, MILLIS)
    t.match(x.subscriptionCreatedAt, MILLIS)
    t.match(ya, { totalLag: 0, state: 'Stable', subscriptionMode: 'timestamp', subscriptionTimestamp: '2020-02-03T03:05:06.789Z' })
  })

  t.test('count unread messages exactly: acknowledged out of order, deleted, removed by retention', async t => {
    await pushIds(service, 'exact', ['1', '2', '3'])
    await pushIds(service, 'exact', ['4', '5', '6', '7'])
    const messages = await take(service, 'exact?batch=7&consumerGroup=g')
    await age('exact', 1000)
    await age('exact', 1000, 3)
    t.match(await entry('exact', 'g'), { totalLag: 7, state: 'Lagging' })
    t.ok((await entry('exact', 'g')).maxTimeLag >= 2000, 'the oldest unread message counts')
    await ackBatch(service, messages.slice(1, 5).map(message => ({ message })), 'g')
    t.match(await entry('exact', 'g'), { totalLag: 3, partitionsWithLag: 1 })
    t.ok((await entry('exact', 'g')).maxTimeLag >= 2000, 'the first is still unread')
    await ackBatch(service, messages.slice(0, 1).map(message => ({ message })), 'g')
    const { maxTimeLag, totalLag } = await entry('exact', 'g')
    t.equal(totalLag, 2)
    t.ok(maxTimeLag >= 1000 && maxTimeLag < 2000, 'the oldest one is now in the second segment')
    const [cursor] = await sql`
      update regent.cursors c set acked = acked + int8multirange(int8range(6, 6, '[]')) from regent.groups g
        where g.id = c.group_id and g.name = 'g' returning c.committed`
    t.equal(Number(cursor?.committed), 5)
    t.match(await entry('exact', 'g'), { totalLag: 1, partitionsWithLag: 1 }, 'a deleted message is not unread')
    await sql`delete from regent.segments where partition_id in (select id from regent.partitions p where p.queue_id in (select id from regent.queues where name = 'exact'))`
    await sql`update regent.partitions set tail = head, oldest_at = 'infinity' where queue_id in (select id from regent.queues where name = 'exact')`
    t.match(await entry('exact', 'g'), { totalLag: 0, partitionsWithLag: 0, maxTimeLag: 0, state: 'Stable' }, 'nor is one that retention removed')
  })

  t.test('count the partitions that a new group has no cursor for yet', async t => {
    for (const n of [1, 2, 3]) await pushIds(service, 'young', ['a', 'b'], `p${n}`)
    await takeIds(service, 'young?consumerGroup=all')
    await takeIds(service, 'young?consumerGroup=none&subscriptionFrom=2999-01-01')
    // As after a first step over one partition.
    for (const group of ['all', 'none']) {
      await sql`update regent.groups g set seeded_to = (select min(p.id) from regent.partitions p where p.queue_id = g.queue_id)
        from regent.queues q where q.id = g.queue_id and q.name = 'young' and g.name = ${group}`
      await sql`delete from regent.cursors c using regent.groups g where g.id = c.group_id and g.name = ${group} and c.partition_id > g.seeded_to`
    }
    t.match(await entry('young', 'all'), { members: 1, partitionsWithLag: 3, totalLag: 6 })
    t.match(await entry('young', 'none'), { members: 1, partitionsWithLag: 0, totalLag: 0 }, 'subject to where it starts')
    t.equal((await get('/lagging?minLagSeconds=-1')).filter((item: any) => item.queue_name === 'young').length, 3)
    t.same((await get('/all')).young.partitions.map((item: any) => [item.partition, item.offsetLag, item.totalConsumed]), [['p1', 2, 0], ['p2', 2, 0], ['p3', 2, 0]])
  })

  t.test('show partitions whose oldest unread message is older than a limit, the most lagging first', async t => {
    await pushIds(service, 'late', ['1', '2'], 'slow')
    await pushIds(service, 'later', ['1', '2', '3'], 'slowest')
    await pushIds(service, 'late', ['1'], 'quick')
    await take(service, 'late/partition/slow?batch=9&consumerGroup=late-g')
    const [message] = await take(service, 'later?batch=1&consumerGroup=late-g')
    if (message !== undefined) await ackBatch(service, [{ message }], 'late-g')
    await age('late', 5000)
    await age('later', 7300)
    const all = async (query: string): Promise<any[]> => (await get(`/lagging${query}`)).filter((item: any) => item.consumer_group === 'late-g')
    const items = await all('')
    t.same(items.map(item => [item.queue_name, item.partition_name]), [['later', 'slowest'], ['late', 'slow'], ['late', 'quick']])
    const [slowest, slow] = items
    t.same(Object.keys(slowest).sort(), ['consumer_group', 'lag_hours', 'last_consumed_at', 'offset_lag', 'oldest_unconsumed_at', 'partition_id',
      'partition_name', 'queue_name', 'time_lag_seconds', 'worker_id'])
    const [row] = await sql`select id from regent.partitions where name = 'slowest'`
    t.match(slowest, { partition_id: messageId(Number(row?.id), 0), worker_id: null, offset_lag: 2, last_consumed_at: MILLIS, oldest_unconsumed_at: MILLIS })
    t.ok(slowest.time_lag_seconds >= 7300 && Number.isInteger(slowest.time_lag_seconds))
    t.equal(slowest.lag_hours, Math.round(slowest.time_lag_seconds / 36) / 100)
    t.match(slow.worker_id, /^[0-9a-f-]{36}$/, 'who holds it now')
    t.equal((await all('?minLagSeconds=6000')).length, 1)
    t.same(await all('?minLagSeconds=100000'), [])
    t.same((await all('?limit=1&offset=1')).map(item => item.partition_name), ['slow'])
    for (const bad of ['x', '1.5', '10abc', '99999999999']) {
      const { status, json } = await service.call('GET', `/api/v1/consumer-groups/lagging?minLagSeconds=${bad}`)
      t.equal(status, 400, bad)
      t.match(json, { code: 'RGT_FIELD_INVALID', field: 'minLagSeconds' })
    }
  })

  t.test('describe a group by queue and partition', async t => {
    await pushIds(service, 'detail-1', ['1', '2', '3'], 'b')
    await pushIds(service, 'detail-1', ['1'], 'a')
    await pushIds(service, 'detail-2', ['1'])
    const [first] = await take(service, 'detail-1/partition/b?batch=2&consumerGroup=d')
    await take(service, 'detail-2?consumerGroup=d&subscriptionMode=new')
    if (first !== undefined) await ackBatch(service, [{ message: first }], 'd')
    const detail = await get('/d')
    for (const { partitions } of Object.values<any>(detail)) {
      for (const partition of partitions) {
        t.ok(Number.isInteger(partition.timeLagSeconds) && partition.timeLagSeconds <= 60)
        partition.timeLagSeconds = 0
        if (partition.partition === 'b') {
          t.match(partition.lastConsumedAt, MILLIS)
          partition.lastConsumedAt = null
        }
      }
    }
    t.strictSame(detail, {
      'detail-1': {
        partitions: [
          { partition: 'a', workerId: null, lastConsumedAt: null, totalConsumed: 0, offsetLag: 1, timeLagSeconds: 0, leaseActive: false },
          { partition: 'b', workerId: first?.leaseId, lastConsumedAt: null, totalConsumed: 1, offsetLag: 2, timeLagSeconds: 0, leaseActive: true }
        ]
      },
      'detail-2': {
        partitions: [{ partition: 'Default', workerId: null, lastConsumedAt: null, totalConsumed: 0, offsetLag: 0, timeLagSeconds: 0, leaseActive: false }]
      }
    })
    await sql`update regent.cursors set available_at = clock_timestamp() - interval '1 second' where lease_id = ${first?.leaseId ?? ''}`
    t.match((await get('/d'))['detail-1'].partitions[1], { workerId: first?.leaseId, leaseActive: false }, 'the last lease, though it has run out')
    t.same(Object.keys(await get('/d?limit=1&offset=2')), ['detail-2'])
    t.same((await get('/__QUEUE_MODE__'))['list-a'].partitions.length, 1)
  })

  t.test('are added up in steps, none of which leaves out a group', async t => {
    const names: string[] = []
    let last: any = { queue_id: 0, group_id: 0, more: true }
    while (last?.more === true) {
      const rows = await sql`select * from regent.consumer_groups_v1(${last.queue_id}, ${last.group_id}, 0)`
      t.ok(rows.length <= 1, 'one at a time when there is no time')
      names.push(...rows.map(row => `${row.consumer_group} ${row.queue}`))
      last = rows[0]
    }
    t.same(names.sort(), (await get('')).map((item: any) => `${item.name} ${item.queueName}`).sort())
  })

  t.test('decode names, and refuse what cannot be one', async t => {
    await pushIds(service, 'a b', ['1'])
    await take(service, 'a%20b?consumerGroup=g%20%2F1')
    t.same(Object.keys(await get('/g%20%2F1')), ['a b'])
    t.equal((await service.call('GET', `/api/v1/consumer-groups/${'x'.repeat(256)}`)).status, 400)
    t.same(await get('/lagging?minLagSeconds=100000'), [], 'lagging is never the name of a group')
  })
})
