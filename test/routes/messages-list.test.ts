import t from 'tap'
import { connect, startService } from '../support.ts'
import { parseAddress } from '../../services/log/ids.ts'
import { ackBatch, ackOne, configure, pushIds, take, takeOne } from './consumer.ts'

const MILLI = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

t.test('the list of messages', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const list = async (query: string): Promise<any> => {
    const { status, json, text } = await service.call('GET', `/api/v1/messages?${query}`)
    if (status !== 200) throw new Error(text)
    return json
  }
  const idsOf = async (query: string): Promise<string[]> => (await list(query)).messages.map((message: any) => message.transactionId)

  t.test('shows every field of a message and never its payload', async t => {
    await configure(service, 'fields', { priority: 4 })
    const traceId = '7f8d4c7e-55e3-4a2b-9d86-0f0f6c2b7a11'
    const [pushed] = (await service.push([{ queue: 'fields', partition: 'a,"data":', transactionId: ',"data":', traceId, payload: { data: 'secret' } }])).json
    const { messages, mode, pagination } = await list('queue=fields')
    t.match(messages[0].createdAt, MILLI)
    t.strictSame(messages.map(({ createdAt, ...message }: any) => message), [{
      id: pushed.message_id,
      transactionId: ',"data":',
      partitionId: pushed.partition_id,
      queuePath: 'fields/a,"data":',
      queue: 'fields',
      partition: 'a,"data":',
      namespace: '',
      task: '',
      status: 'pending',
      queueStatus: 'pending',
      busStatus: { consumedBy: 0, totalGroups: 0 },
      traceId,
      producerSub: null,
      queuePriority: 4,
      leaseExpiresAt: null
    }])
    t.strictSame(mode, { hasQueueMode: false, busGroupsCount: 0, type: 'none' })
    t.strictSame(pagination, { limit: 200, offset: 0 })
  })

  t.test('is newest first over all partitions and pages without gaps or repeats', async t => {
    const pushed: string[] = []
    for (let i = 0; i < 12; i++) {
      const ids = [`${i}-a`, `${i}-b`, `${i}-c`]
      await pushIds(service, 'paged', ids, `p${i % 4}`)
      pushed.push(...ids)
    }
    const newestFirst = pushed.reverse()
    t.strictSame(await idsOf('queue=paged'), newestFirst)
    const pages: string[] = []
    for (let offset = 0; offset < 40; offset += 7) pages.push(...await idsOf(`queue=paged&limit=7&offset=${offset}`))
    t.strictSame(pages, newestFirst)
    t.strictSame(await idsOf('queue=paged&limit=3&offset=36'), [])
    t.equal((await list('queue=paged&limit=5000')).pagination.limit, 1000)
  })

  t.test('keeps to queue, partition, namespace and task', async t => {
    await pushIds(service, 'shop.bill', ['x'], 'one')
    await pushIds(service, 'shop.mail', ['y'], 'two')
    t.strictSame((await idsOf('ns=shop')).sort(), ['x', 'y'])
    t.strictSame(await idsOf('ns=shop&task=mail'), ['y'])
    t.strictSame(await idsOf('queue=shop.bill&partition=one'), ['x'])
    t.strictSame(await idsOf('queue=shop.bill&partition=two'), [])
    t.strictSame(await idsOf('queue=nothing'), [])
  })

  t.test('shows the last hour by default, and other times when asked', async t => {
    await pushIds(service, 'old', ['early'])
    await pushIds(service, 'old', ['middle'])
    await pushIds(service, 'old', ['late'])
    // Half past some hour, for the end of a minute to be known.
    const [{ base } = { base: '' }] = await sql`select to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:') || '30:00Z' as base`
    const at = (minutes: number): string => new Date(Date.parse(base) - minutes * 60_000).toISOString()
    await sql`update regent.segments set created_at = ${at(180)} where body like '%"early"%'`
    await sql`update regent.segments set created_at = ${at(150)}::timestamptz + interval '40 seconds' where body like '%"middle"%'`
    await sql`update regent.partitions p set oldest_at = ${at(180)} from regent.queues q where q.id = p.queue_id and q.name = 'old'`
    t.strictSame(await idsOf('queue=old'), ['late'])
    t.strictSame(await idsOf(`queue=old&from=${at(180)}`), ['late', 'middle', 'early'], 'from is inclusive')
    t.strictSame(await idsOf(`queue=old&from=${at(179)}`), ['late', 'middle'])
    t.strictSame(await idsOf(`queue=old&from=${at(200)}&to=${at(150)}`), ['middle', 'early'], 'to lasts until the end of its minute')
    t.strictSame(await idsOf(`queue=old&from=${at(200)}&to=${at(151)}`), ['early'])
    t.strictSame(await idsOf(`queue=old&from=${at(150)}&to=${at(170)}`), [])
  })

  t.test('derives the status in queue mode from the cursor, the lease and the dead letters', async t => {
    await configure(service, 'states', { retryLimit: 0 })
    await pushIds(service, 'states', ['a', 'b', 'c', 'd', 'e', 'f'])
    const leased = await take(service, 'states?batch=4')
    const [a, b, c, d] = leased
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('four were to come')
    await ackBatch(service, [{ message: a }, { message: b, status: 'failed', error: 'broken' }, { message: d }])
    const { messages, mode } = await list('queue=states')
    t.strictSame(messages.map((m: any) => [m.transactionId, m.status, m.queueStatus]), [
      ['f', 'pending', 'pending'], ['e', 'pending', 'pending'], ['d', 'completed', 'completed'],
      ['c', 'processing', 'processing'], ['b', 'dead_letter', 'dead_letter'], ['a', 'completed', 'completed']])
    t.strictSame(messages.map((m: any) => m.leaseExpiresAt === null), [true, true, true, false, true, true])
    t.match(messages[3].leaseExpiresAt, MILLI)
    t.strictSame(mode, { hasQueueMode: true, busGroupsCount: 0, type: 'queue' })
    t.strictSame(await idsOf('queue=states&status=pending'), ['f', 'e'])
    t.strictSame(await idsOf('queue=states&status=processing'), ['c'])
    t.strictSame(await idsOf('queue=states&status=completed'), ['d', 'a'])
    t.strictSame(await idsOf('queue=states&status=dead_letter'), ['b'])
    t.strictSame(await idsOf('queue=states&status=completed&limit=1&offset=1'), ['a'])
    // The lease runs out: what was not acknowledged waits again.
    await sql`update regent.cursors set available_at = clock_timestamp() - interval '1 second' where lease_id is not null`
    t.strictSame(await idsOf('queue=states&status=pending'), ['f', 'e', 'c'])
    t.strictSame(await idsOf('queue=states&status=processing'), [])
  })

  t.test('calls a message of named groups completed once all of them have passed it', async t => {
    await pushIds(service, 'bus', ['a', 'b'])
    const one = await take(service, 'bus?consumerGroup=one&batch=2')
    await take(service, 'bus?consumerGroup=two')
    await ackBatch(service, one.map(message => ({ message })), 'one')
    const shown = async (): Promise<unknown> => (await list('queue=bus')).messages.map((m: any) => [m.transactionId, m.status, m.queueStatus, m.busStatus])
    t.strictSame(await shown(), [
      ['b', 'pending', 'pending', { consumedBy: 1, totalGroups: 2 }], ['a', 'pending', 'pending', { consumedBy: 1, totalGroups: 2 }]])
    t.strictSame((await list('queue=bus')).mode, { hasQueueMode: false, busGroupsCount: 2, type: 'bus' })
    await sql`update regent.cursors set available_at = clock_timestamp() - interval '1 second' where lease_id is not null`
    await ackOne(service, await takeOne(service, 'bus?consumerGroup=two&batch=1'))
    t.strictSame(await shown(), [
      ['b', 'pending', 'pending', { consumedBy: 1, totalGroups: 2 }], ['a', 'completed', 'pending', { consumedBy: 2, totalGroups: 2 }]])
    t.strictSame(await idsOf('queue=bus&status=completed'), ['a'])
    t.strictSame(await idsOf('queue=bus&status=pending'), ['b'])
    await take(service, 'bus')
    t.strictSame((await list('queue=bus')).mode, { hasQueueMode: true, busGroupsCount: 2, type: 'hybrid' })
    t.strictSame(await idsOf('queue=bus&status=processing'), ['a'])
  })

  t.test('lists a message once that several groups have given up on', async t => {
    await pushIds(service, 'twice', ['a'])
    for (const group of ['one', 'two']) {
      const message = await takeOne(service, `twice?consumerGroup=${group}`)
      await ackOne(service, message, { status: 'dlq' })
    }
    t.equal((await sql`select from regent.dead_letters where queue = 'twice'`).length, 2)
    t.strictSame(await idsOf('queue=twice'), ['a'])
    t.strictSame(await idsOf('queue=twice&status=dead_letter'), ['a'])
  })

  t.test('refuses a status, a time or a name that is none', async t => {
    for (const [query, field] of [['status=done', 'status'], ['from=yesterday', 'from'], ['to=2026-02-30', 'to'], [`queue=${'q'.repeat(256)}`, 'queue']] as const) {
      const { status, json } = await service.call('GET', `/api/v1/messages?${query}`)
      t.equal(status, 400, query)
      t.equal(json.field, field)
    }
  })

  t.test('of one queue is a bare array that pages, however old the messages are', async t => {
    await pushIds(service, 'bare', ['a', 'b', 'c'])
    await sql`update regent.segments set created_at = now() - interval '3 days' where body like '%"a"%'`
    const path = '/api/v1/status/queues/bare/messages'
    const { status, json } = await service.call('GET', path)
    t.equal(status, 200)
    const { id, partitionId, createdAt, ...rest } = json[0]
    t.match(id, UUID)
    t.strictSame(messageId(partitionId), parseAddress(id)?.partition)
    t.match(createdAt, MILLI)
    t.strictSame(rest, { transactionId: 'c', queuePath: 'bare/Default', queue: 'bare', partition: 'Default', status: 'pending' })
    t.strictSame((await service.call('GET', `${path}?limit=2&offset=1`)).json.map((m: any) => m.transactionId), ['b', 'a'])
    t.strictSame((await service.call('GET', `${path}?offset=3`)).json, [])
    const unknown = await service.call('GET', '/api/v1/status/queues/nothing/messages')
    t.equal(unknown.status, 404)
    t.match(unknown.json, { error: 'Queue not found', code: 'RGT_QUEUE_UNKNOWN' })
  })
})

function messageId (uuid: string): number | undefined {
  return parseAddress(uuid)?.partition
}
