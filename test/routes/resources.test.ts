import t from 'tap'
import { connect, startService } from '../support.ts'
import type { Answer } from '../support.ts'
import { ackBatch, ackOne, configure, pushIds, take, takeIds, takeOne } from './consumer.ts'

const MILLI = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

t.test('resources', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const get = async (path: string): Promise<Answer> => await service.call('GET', `/api/v1/${path}`)
  const read = async (path: string): Promise<any> => {
    const { status, json, text } = await get(path)
    if (status !== 200) throw new Error(text)
    return json
  }
  const counts = async (queue: string): Promise<any> => (await read(`resources/queues/${queue}`)).totals

  t.test('of an empty service are empty lists and zeros', async t => {
    t.strictSame(await read('status/queues'), { queues: [], total: 0, pagination: { limit: 100, offset: 0 } })
    t.strictSame(await read('resources/queues'), { queues: [], total: 0, pagination: { limit: 10000, offset: 0 } })
    t.strictSame(await read('resources/partitions'), { partitions: [], total: 0, pagination: { limit: 100, offset: 0 } })
    t.strictSame(await read('resources/namespaces'), { namespaces: [] })
    t.strictSame(await read('resources/tasks'), { tasks: [] })
    const { timestamp, ...overview } = await read('resources/overview')
    t.match(timestamp, MILLI)
    const zeros = { avg: 0, median: 0, min: 0, max: 0 }
    t.strictSame(overview, {
      queues: 0,
      partitions: 0,
      namespaces: 0,
      tasks: 0,
      messages: { total: 0, pending: 0, processing: 0, completed: 0, failed: 0, deadLetter: 0 },
      lag: { time: zeros, offset: zeros },
      throughput: { ingestedPerSecond: 0, processedPerSecond: 0 },
      statsAge: 0
    })
  })

  t.test('count what waits, is leased, is done and was given up on', async t => {
    await configure(service, 'counted', { retryLimit: 0 })
    await pushIds(service, 'counted', ['a', 'b', 'c', 'd', 'e', 'f', 'g'])
    t.strictSame(await counts('counted'), { total: 7, pending: 7, processing: 0, completed: 0, failed: 0, deadLetter: 0 })
    const [a, b, c] = await take(service, 'counted?batch=5')
    if (a === undefined || b === undefined || c === undefined) throw new Error('five were to come')
    t.strictSame(await counts('counted'), { total: 7, pending: 2, processing: 5, completed: 0, failed: 0, deadLetter: 0 })
    await ackBatch(service, [{ message: a }, { message: b, status: 'dlq' }, { message: c }])
    t.strictSame(await counts('counted'), { total: 7, pending: 2, processing: 2, completed: 3, failed: 0, deadLetter: 1 })
    await service.call('DELETE', `/api/v1/messages/${c.partitionId}/g`)
    t.strictSame(await counts('counted'), { total: 6, pending: 1, processing: 2, completed: 3, failed: 0, deadLetter: 1 })
    await sql`update regent.cursors set available_at = clock_timestamp() - interval '1 second' where lease_id is not null`
    t.strictSame(await counts('counted'), { total: 6, pending: 3, processing: 0, completed: 3, failed: 0, deadLetter: 1 })
    await takeIds(service, 'counted?batch=9&autoAck=true')
    t.strictSame(await counts('counted'), { total: 6, pending: 0, processing: 0, completed: 6, failed: 0, deadLetter: 1 })
  })

  t.test('count the group with most of them in each partition; the overview counts all groups', async t => {
    const before = (await read('resources/overview')).messages
    await pushIds(service, 'most', ['a', 'b', 'c', 'd'], 'x')
    await pushIds(service, 'most', ['e', 'f'], 'y')
    await take(service, 'most/partition/x?consumerGroup=one&batch=3')
    await take(service, 'most/partition/x?consumerGroup=two&batch=1&autoAck=true')
    await take(service, 'most/partition/y?consumerGroup=one&batch=9&autoAck=true')
    // x: one holds 3 of 4, two has passed 1 and has 3 before it; y: one has passed both, two none.
    t.strictSame(await counts('most'), { total: 6, pending: 5, processing: 3, completed: 3, failed: 0, deadLetter: 0 })
    const { messages, lag } = await read('resources/overview')
    t.strictSame(Object.fromEntries(Object.entries(messages).map(([name, count]) => [name, Number(count) - before[name]])),
      { total: 6, pending: 1 + 3 + 0 + 2, processing: 3, completed: 0 + 1 + 2 + 0, failed: 0, deadLetter: 0 })
    t.strictSame(lag.offset, { avg: 3, median: 3, min: 2, max: 4 })
    t.equal((await read('status/queues?search=MOST')).queues[0].messages.pending, 4 + 2, 'what is processing is pending here')
    t.equal((await read('resources/queues?search=most')).queues[0].messages.pending, 3 + 2)
  })

  t.test('show the age of what waits longest', async t => {
    await sql`update regent.segments set created_at = created_at - interval '100 seconds'`
    await sql`update regent.partitions set oldest_at = oldest_at - interval '100 seconds' where oldest_at < 'infinity'`
    const { time } = (await read('resources/overview')).lag
    for (const name of ['avg', 'median', 'min', 'max']) t.ok(time[name] >= 100 && Number.isInteger(time[name]), name)
  })

  t.test('show the throughput of the last five minutes', async t => {
    await sql`
      insert into regent.queue_metrics (bucket, queue, hostname, worker_id, push_messages, ack_success)
        select clock_timestamp() - n * interval '3 minutes', 'counted', 'host', 'worker', 600, 303 from generate_series(0, 2) as n`
    const { throughput } = await read('resources/overview')
    t.strictSame(throughput, { ingestedPerSecond: 4, processedPerSecond: 2.02 })
  })

  t.test('list queues newest first, by label and by part of the name, in pages', async t => {
    await configure(service, 'shop.bill.one', {})
    await pushIds(service, 'shop.mail.two', ['a', 'b'])
    await pushIds(service, 'shop.bill.three', ['c'])
    for (const path of ['status/queues', 'resources/queues']) {
      const { queues, total } = await read(`${path}?search=SHOP`)
      t.equal(total, 3)
      t.strictSame(queues.map((queue: any) => queue.name), ['shop.bill.three', 'shop.mail.two', 'shop.bill.one'])
      const { id, createdAt, ...rest } = queues[1]
      t.match(id, UUID)
      t.match(createdAt, MILLI)
      t.strictSame(rest, { name: 'shop.mail.two', namespace: 'shop', task: 'mail', partitions: 1, messages: { total: 2, pending: 2, processing: 0 } })
      t.strictSame((await read(`${path}?namespace=shop&task=bill`)).queues.map((queue: any) => queue.name), ['shop.bill.three'])
      const page = await read(`${path}?search=shop&limit=1&offset=1`)
      t.strictSame([page.queues.map((queue: any) => queue.name), page.total, page.pagination], [['shop.mail.two'], 3, { limit: 1, offset: 1 }])
      const beyond = await read(`${path}?search=shop&limit=1&offset=9`)
      t.strictSame([beyond.queues, beyond.total], [[], 3])
      t.equal((await get(`${path}?namespace=${'n'.repeat(256)}`)).json.field, 'namespace')
    }
  })

  t.test('sum up namespaces and tasks, without the empty ones', async t => {
    await take(service, 'shop.mail.two')
    const { namespaces } = await read('resources/namespaces')
    t.strictSame(namespaces, [
      { namespace: 'most', queues: 1, partitions: 2, messages: { total: 6, pending: 5 } },
      { namespace: 'shop', queues: 2, partitions: 2, messages: { total: 3, pending: 2 } }])
    t.strictSame((await read('resources/tasks')).tasks, [
      { task: 'bill', queues: 1, partitions: 1, messages: { total: 1, pending: 1 } },
      { task: 'mail', queues: 1, partitions: 1, messages: { total: 2, pending: 1 } }])
    const overview = await read('resources/overview')
    t.match(overview, { queues: 5, partitions: 6, namespaces: 2, tasks: 2 })
  })

  t.test('describe a queue with its options and partitions', async t => {
    await configure(service, 'described', { leaseTime: 11, retryLimit: 5, retryDelay: 20, ttl: 60, maxSize: 99, deadLetterQueue: false, priority: 7 })
    await pushIds(service, 'described', ['a', 'b'], 'x')
    await ackOne(service, await takeOne(service, 'described?consumerGroup=g'))
    const six = { total: 2, pending: 1, processing: 0, completed: 1, failed: 0, deadLetter: 0 }
    const none = { total: 0, pending: 0, processing: 0, completed: 0, failed: 0, deadLetter: 0 }
    const status = await read('status/queues/described?includePartitions=true')
    const { id, createdAt, ...queue } = status.queue
    t.match([id, createdAt], [UUID, MILLI])
    t.strictSame(queue, {
      name: 'described',
      namespace: '',
      task: '',
      priority: 7,
      config: { leaseTime: 11, retryLimit: 5, retryDelay: 20, ttl: 60, maxQueueSize: 99, deadLetterQueue: false }
    })
    t.strictSame(status.totals, { messages: six, ...six })
    const [empty, x] = status.partitions
    t.match(x.id, UUID)
    t.strictSame(Object.keys(x), ['id', 'name', 'createdAt', 'messages', 'stats', 'cursor', 'lastActivity', 'oldestMessage', 'newestMessage'])
    t.match(x, { name: 'x', createdAt: MILLI, lastActivity: MILLI, oldestMessage: MILLI, newestMessage: MILLI })
    t.strictSame([x.messages, x.stats, x.cursor], [six, six, { totalConsumed: 1, batchesConsumed: 0 }])
    t.match(empty, { name: 'Default', messages: none, lastActivity: null, oldestMessage: null, newestMessage: null })

    const { id: sameId, createdAt: sameTime, ...resource } = await read('resources/queues/described?limit=1&offset=1')
    t.strictSame([sameId, sameTime], [id, createdAt])
    t.strictSame(resource, {
      name: 'described',
      namespace: '',
      task: '',
      partitions: [{ id: x.id, name: 'x', createdAt: x.createdAt, stats: six, oldestMessage: x.oldestMessage, newestMessage: x.newestMessage }],
      totals: six,
      pagination: { limit: 1, offset: 1, total: 2 }
    })
    for (const path of ['status/queues/nothing', 'resources/queues/nothing']) {
      const unknown = await get(path)
      t.equal(unknown.status, 404)
      t.match(unknown.json, { error: 'Queue not found', code: 'RGT_QUEUE_UNKNOWN' })
    }
  })
})
