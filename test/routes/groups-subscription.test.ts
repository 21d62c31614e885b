import t from 'tap'
import type { Service } from '../support.ts'
import { connect, startService, until } from '../support.ts'
import { pushIds, takeIds } from './consumer.ts'

t.test('where a new consumer group starts', async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  const sql = connect(t, service.databaseUrl)
  let groups = 0
  /** What a new group gets of the two messages of a queue, and of one that is pushed once it is there. */
  const starts = async (queue: string, query: string, from: Service = service): Promise<string[][]> => {
    const path = `${queue}?batch=9&autoAck=true&consumerGroup=g${++groups}&${query}`
    const there = await takeIds(from, path)
    await pushIds(service, queue, [`after-${groups}`])
    return [there, await takeIds(from, path)]
  }
  const queueOf = async (name: string): Promise<string> => {
    await pushIds(service, name, ['1', '2'])
    return name
  }

  t.test('at the beginning', async t => {
    for (const query of ['subscriptionMode=all', 'subscriptionMode=earliest', 'subscriptionFrom=earliest', 'subscriptionFrom=earliest&subscriptionMode=new', 'subscriptionMode=whatever']) {
      const queue = await queueOf(`all ${query}`).then(encodeURIComponent)
      t.same((await takeIds(service, `${queue}?batch=9&consumerGroup=g&${query}`)), ['1', '2'], query)
    }
  })

  t.test('now', async t => {
    for (const query of ['subscriptionMode=new', 'subscriptionMode=new-only', 'subscriptionMode=latest', 'subscriptionFrom=now', 'subscriptionFrom=latest', 'subscriptionMode=timestamp&subscriptionFrom=now']) {
      const queue = await queueOf(`new-${groups}`)
      t.same(await starts(queue, query), [[], [`after-${groups}`]], query)
    }
  })

  t.test('at a time', async t => {
    t.same(await starts(await queueOf('time-1'), 'subscriptionMode=timestamp&subscriptionFrom=2000-01-01T00:00:00Z'), [['1', '2'], [`after-${groups}`]])
    t.same(await starts(await queueOf('time-2'), 'subscriptionMode=timestamp&subscriptionFrom=2999-01-01'), [[], []])
  })

  t.test('nowhere, when the mode asks for a time and none is given, or one that cannot be read', async t => {
    await queueOf('refused')
    for (const query of ['subscriptionMode=timestamp', 'subscriptionMode=timestamp&subscriptionFrom=', 'subscriptionFrom=tomorrow']) {
      const { status, json } = await service.pop(`refused?consumerGroup=refused&${query}`)
      t.equal(status, 400, query)
      t.match(json, { code: 'RGT_FIELD_INVALID', field: 'subscriptionFrom' })
    }
    t.same((await service.call('GET', '/api/v1/consumer-groups/refused')).json, {}, 'no group was made')
    t.same(await takeIds(service, 'refused?batch=9&subscriptionMode=timestamp'), ['1', '2'], 'queue mode has no start')
  })

  t.test('as the service says where a pop does not', async t => {
    const latest = await startService(t, { databaseUrl: service.databaseUrl, safetyNetMs: 0, defaultSubscriptionMode: 'latest' })
    const earliest = await startService(t, { databaseUrl: service.databaseUrl, safetyNetMs: 0, defaultSubscriptionMode: 'earliest' })
    const queue = await queueOf('default')
    t.same((await starts(queue, '', latest))[0], [])
    t.same((await starts(queue, '', earliest))[0]?.slice(0, 2), ['1', '2'])
    t.same((await starts(queue, 'subscriptionMode=earliest', latest))[0]?.slice(0, 2), ['1', '2'])
  })

  t.test('at a time still to come: nothing lags until then, and a seek to before it brings it forward', async t => {
    const queue = await queueOf('future')
    const path = `${queue}?batch=9&autoAck=true&consumerGroup=future&subscriptionFrom=2999-01-01`
    const lag = async (): Promise<number> =>
      (await service.call('GET', '/api/v1/consumer-groups')).json.find((group: any) => group.name === 'future').totalLag
    const seek = async (body: object): Promise<any> => await service.call('POST', `/api/v1/consumer-groups/future/queues/${queue}/seek`, body)
    t.same(await takeIds(service, path), [])
    await pushIds(service, queue, ['3'])
    t.equal(await lag(), 0)
    t.same(await takeIds(service, path), [])
    await seek({ toEnd: true })
    await pushIds(service, queue, ['4'])
    t.equal(await lag(), 0, 'a seek to the end keeps the start')
    await service.call('DELETE', '/api/v1/consumer-groups/future?deleteMetadata=false')
    t.equal(await lag(), 0, 'so does starting again')
    t.same(await takeIds(service, path), [])
    t.match((await seek({ toStart: true })).json, { partitionsUpdated: 1 })
    t.equal(await lag(), 4)
    t.same(await takeIds(service, path), ['1', '2', '3', '4'])
  })

  t.test('once the time has come, a new subscription moves nothing, and one partition can be sought back', async t => {
    const queue = await queueOf('come')
    const [row] = await sql<{ start: string }[]>`select regent.wire_millis(clock_timestamp() + interval '2 seconds') as start`
    const start = row?.start ?? ''
    const path = `${queue}?batch=9&partitions=9&consumerGroup=come&subscriptionFrom=${start}`
    t.same(await takeIds(service, path), [])
    await until(async () => {
      const [now] = await sql<{ passed: boolean }[]>`select clock_timestamp() >= ${start}::timestamptz as passed`
      return now?.passed === true
    })
    await pushIds(service, queue, ['3'], 'other')
    await pushIds(service, queue, ['4'])
    t.equal((await service.call('POST', '/api/v1/consumer-groups/come/subscription', { subscriptionTimestamp: '2999-01-01' })).json.rowsUpdated, 1)
    t.same((await takeIds(service, `${path}&autoAck=true`)).sort(), ['3', '4'])
    await service.call('POST', `/api/v1/consumer-groups/come/queues/${queue}/partitions/Default/seek`, { toStart: true })
    t.same(await takeIds(service, `${path}&autoAck=true`), ['1', '2', '4'], 'also before the time at which the group began')
    const [group] = await sql`select starts_at from regent.groups where name = 'come'`
    t.equal(group?.starts_at, null)
  })
})
