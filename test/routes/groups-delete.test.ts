import t from 'tap'
import { connect, startService, until } from '../support.ts'
import { ackBatch, ackOne, configure, pushIds, take, takeIds, takeOne } from './consumer.ts'

t.test('deletion and subscription of consumer groups', async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  const sql = connect(t, service.databaseUrl)
  const remove = async (path: string): Promise<any> => {
    const { status, json, text } = await service.call('DELETE', `/api/v1/consumer-groups/${path}`, '', { headers: { 'content-type': 'application/json' } })
    t.equal(status, 200, text)
    return json
  }
  const groups = async (name: string): Promise<string[]> => (await service.call('GET', '/api/v1/consumer-groups')).json
    .filter((item: any) => item.name === name).map((item: any) => item.queueName)

  t.test('deletes a group in all its queues', async t => {
    for (const queue of ['all-1', 'all-2']) {
      await pushIds(service, queue, ['1', '2'], 'a')
      await pushIds(service, queue, ['3'], 'b')
      await takeIds(service, `${queue}?consumerGroup=del&batch=9&partitions=9&autoAck=true`)
      await takeIds(service, `${queue}?consumerGroup=stay&batch=9&partitions=9&autoAck=true`)
    }
    t.strictSame(await remove('del'), { success: true, consumerGroup: 'del', deletedPartitions: 4, metadataDeleted: true })
    t.same(await groups('del'), [])
    t.same((await service.call('GET', '/api/v1/consumer-groups/del')).json, {})
    t.same(await groups('stay'), ['all-1', 'all-2'])
    t.same(await takeIds(service, 'all-1?consumerGroup=stay&batch=9&partitions=9'), [])
    t.same((await takeIds(service, 'all-1?consumerGroup=del&batch=9&partitions=9')).sort(), ['1', '2', '3'], 'a pop makes it anew')
    t.same(await takeIds(service, 'all-2?consumerGroup=del&subscriptionMode=new'), [], 'by its own subscription')
    t.strictSame(await remove('nobody'), { success: true, consumerGroup: 'nobody', deletedPartitions: 0, metadataDeleted: true })
  })

  t.test('deletes a group of one queue', async t => {
    for (const queue of ['one-1', 'one-2']) {
      await pushIds(service, queue, ['1'])
      await takeIds(service, `${queue}?consumerGroup=one&autoAck=true`)
    }
    t.strictSame(await remove('one/queues/one-1'), { success: true, consumerGroup: 'one', queueName: 'one-1', deletedPartitions: 1, metadataDeleted: true })
    t.same(await groups('one'), ['one-2'])
    t.match(await remove('one/queues/none'), { deletedPartitions: 0 })
    t.same(await takeIds(service, 'one-2?consumerGroup=one'), [])
  })

  t.test('deletes queue mode too', async t => {
    await pushIds(service, 'mode', ['1'])
    await takeIds(service, 'mode?autoAck=true')
    t.match(await remove('__QUEUE_MODE__/queues/mode'), { deletedPartitions: 1 })
    t.same(await takeIds(service, 'mode'), ['1'])
  })

  t.test('counts the cursors of a group that did not have all of them yet', async t => {
    await service.push(Array.from({ length: 1200 }, (_, i) => ({ queue: 'young', partition: `p${i}`, payload: i })))
    await takeIds(service, 'young?consumerGroup=young')
    t.match(await remove('young'), { deletedPartitions: 1000 })
    t.equal((await take(service, 'young?consumerGroup=young&batch=5000&partitions=5000&wait=true&timeout=5000')).length > 0, true)
  })

  t.test('answers acknowledgements of a deleted group as refused, and frees the room of its cursors', async t => {
    await configure(service, 'left', { retryDelay: 0 })
    await pushIds(service, 'left', ['1', '2'])
    const failed = await takeOne(service, 'left?consumerGroup=left')
    await ackOne(service, failed, { status: 'failed' })
    const held = await take(service, 'left?consumerGroup=left&batch=2')
    const [group] = await sql`select id from regent.groups where name = 'left'`
    await remove('left')
    t.match(await ackBatch(service, held.map(message => ({ message })), 'left'), held.map(() => ({ success: false })))
    await until(async () => {
      const [row] = await sql`select (select count(*) from regent.cursors where group_id = ${group?.id})
        + (select count(*) from regent.attempts where group_id = ${group?.id}) + (select count(*) from regent.removals) as rows`
      return Number(row?.rows) === 0
    })
    t.match(await takeOne(service, 'left?consumerGroup=left'), { transactionId: '1', retryCount: 0, deliveryCount: 1 })
    t.match(await ackBatch(service, held.map(message => ({ message })), 'left'), held.map(() => ({ success: false, error: 'Invalid or expired lease' })),
      'a lease of the deleted group is none of the new one')
  })

  t.test('keeps dead letters', async t => {
    await pushIds(service, 'dead', ['1'])
    await ackOne(service, await takeOne(service, 'dead?consumerGroup=dead'), { status: 'dlq' })
    await remove('dead')
    t.same((await sql`select consumer_group from regent.dead_letters where queue = 'dead'`).map(row => row.consumer_group), ['dead'])
  })

  t.test('keeps the subscription when asked to, and starts again by it', async t => {
    await pushIds(service, 'again', ['1'])
    t.same(await takeIds(service, 'again?consumerGroup=again&subscriptionMode=new'), [])
    await pushIds(service, 'again', ['2'])
    t.same(await takeIds(service, 'again?consumerGroup=again&autoAck=true'), ['2'])
    const [before] = await sql`select id, mode, since, created_at from regent.groups where name = 'again'`
    t.strictSame(await remove('again?deleteMetadata=false'), { success: true, consumerGroup: 'again', deletedPartitions: 1, metadataDeleted: false })
    const [after] = await sql`select id, mode, since, created_at from regent.groups where name = 'again'`
    t.same({ ...after, id: 0 }, { ...before, id: 0 })
    t.not(after?.id, before?.id)
    t.match((await service.call('GET', '/api/v1/consumer-groups')).json.find((item: any) => item.name === 'again'), { totalLag: 1, state: 'Dead', subscriptionMode: 'new' })
    t.same(await takeIds(service, 'again?consumerGroup=again&batch=9'), ['2'], 'not what was there before it subscribed')
    await remove('again?deleteMetadata=true')
    t.same(await takeIds(service, 'again?consumerGroup=again&batch=9'), ['1', '2'])
  })

  t.test('lets a waiting pop outlive its group', async t => {
    const second = await startService(t, { safetyNetMs: 0, databaseUrl: service.databaseUrl })
    const wait = async (query: string): Promise<Promise<string[]>[]> => {
      const path = `outlived?consumerGroup=outlived&wait=true&timeout=20000&autoAck=true${query}`
      const waiting = [takeIds(second, path)]
      await until(async () => (await second.call('GET', '/health')).json.load.parkedPops > 0)
      return waiting
    }
    await pushIds(service, 'outlived', ['1'])
    await takeIds(service, 'outlived?consumerGroup=outlived&autoAck=true')
    const [first] = await wait('&batch=9')
    await remove('outlived')
    t.same(await first, ['1'], 'it begins anew')
    const [next] = await wait('&batch=9&subscriptionMode=new')
    await remove('outlived/queues/outlived')
    await pushIds(service, 'outlived', ['2'])
    t.same(await next, ['2'], 'from when it asked')
  })

  t.test('changes from when a group wants messages, in all its queues', async t => {
    for (const queue of ['sub-1', 'sub-2']) {
      await pushIds(service, queue, ['1', '2'])
      await takeIds(service, `${queue}?consumerGroup=sub&autoAck=true`)
    }
    const change = async (group: string, body: unknown): Promise<any> => await service.call('POST', `/api/v1/consumer-groups/${group}/subscription`, body)
    const { status, json } = await change('sub', { subscriptionTimestamp: '2026-01-02T03:04:05+01:00' })
    t.equal(status, 200)
    t.strictSame(json, { success: true, consumerGroup: 'sub', newTimestamp: '2026-01-02T03:04:05+01:00', rowsUpdated: 2 })
    t.match((await service.call('GET', '/api/v1/consumer-groups')).json.filter((item: any) => item.name === 'sub'),
      [1, 2].map(() => ({ subscriptionMode: 'timestamp', subscriptionTimestamp: '2026-01-02T02:04:05.000Z' })))
    t.same(await takeIds(service, 'sub-1?consumerGroup=sub'), ['2'], 'cursors do not move')
    await change('sub', { subscriptionTimestamp: '2999-01-01' })
    await remove('sub?deleteMetadata=0')
    t.same(await takeIds(service, 'sub-1?consumerGroup=sub'), [], 'it starts again by it')
    t.equal((await change('nobody', { subscriptionTimestamp: '2026-01-01' })).json.rowsUpdated, 0)
    await takeIds(service, 'sub-1')
    t.equal((await change('__QUEUE_MODE__', { subscriptionTimestamp: '2026-01-01' })).json.rowsUpdated, 0, 'queue mode has no subscription')
    for (const body of [{}, [], { subscriptionTimestamp: null }, { subscriptionTimestamp: 1 }, { subscriptionTimestamp: '' }, { subscriptionTimestamp: '2026-02-30' }]) {
      const answer = await change('sub', body)
      t.equal(answer.status, 400, JSON.stringify(body))
      t.match(answer.json, { code: 'RGT_FIELD_INVALID', field: 'subscriptionTimestamp' })
    }
    t.equal((await change('sub', {})).json.error, 'Missing subscriptionTimestamp in request body')
    t.equal((await change('sub', '')).status, 400)
  })
})
