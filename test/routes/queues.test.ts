import t from 'tap'
import { connect, startService, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { QUEUE_OPTION_RULES } from '../../services/queue/queue-options.ts'
import { ackOne, configure, pushIds, take, takeIds, takeOne } from './consumer.ts'

const DEFAULTS = {
  priority: 0,
  leaseTime: 300,
  retryLimit: 3,
  retryDelay: 1000,
  maxSize: 0,
  ttl: 0,
  deadLetterQueue: true,
  dlqAfterMaxRetries: true,
  delayedProcessing: 0,
  windowBuffer: 0,
  windowBufferMax: 0,
  retentionSeconds: 0,
  completedRetentionSeconds: 0,
  retentionEnabled: false,
  encryptionEnabled: false,
  maxWaitTimeSeconds: 0,
  dedupWindowSeconds: 3600
}
const CUSTOM = {
  priority: -7,
  leaseTime: 11,
  retryLimit: 5,
  retryDelay: 20,
  maxSize: 99,
  ttl: 60,
  deadLetterQueue: false,
  dlqAfterMaxRetries: false,
  delayedProcessing: 0,
  windowBuffer: 0,
  windowBufferMax: 30,
  retentionSeconds: 1000,
  completedRetentionSeconds: 500,
  retentionEnabled: true,
  encryptionEnabled: false,
  maxWaitTimeSeconds: 77,
  dedupWindowSeconds: 10
}

t.test('queues', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const post = async (body: unknown): Promise<Answer> => await service.call('POST', '/api/v1/configure', body)
  const remove = async (name: string): Promise<Answer> => await service.call('DELETE', `/api/v1/resources/queues/${name}`)

  t.test('creates a queue with its Default partition and echoes every option', async t => {
    const { status, json } = await post({ queue: 'new', namespace: 'shop', task: 'bill', options: CUSTOM })
    t.equal(status, 200)
    const { queueId, partitionId, ...rest } = json
    t.same(rest, { configured: true, queue: 'new', namespace: 'shop', task: 'bill', options: CUSTOM })
    t.match(queueId, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    t.not(queueId, partitionId)
    const [pushed] = (await service.push([{ queue: 'new', payload: 1 }])).json
    t.equal(pushed.partition_id, partitionId)
    const [row] = await sql`select * from regent.queues where name = 'new'`
    t.match(row, { namespace: 'shop', task: 'bill', priority: -7, lease_seconds: 11, retry_limit: 5, retry_delay_ms: 20, max_size: 99, ttl_seconds: 60, retention_seconds: 1000, completed_retention_seconds: 500, retention_enabled: true, max_wait_seconds: 77, dedup_window_seconds: 10, dead_letter_queue: false, dlq_after_max_retries: false, window_buffer_max_seconds: 30 })
  })

  t.test('answers the defaults for a body with nothing but a name', async t => {
    for (const extra of [{}, { options: {} }, { options: null }, { options: [] }, { options: 'x' }, { namespace: null, task: null }, { namespace: 5, task: {} }, { options: { unknown: 1 } }]) {
      const { status, json } = await post({ queue: 'bare', ...extra })
      t.equal(status, 200)
      t.match(json, { configured: true, namespace: '', task: '' })
      t.same(json.options, DEFAULTS)
    }
  })

  t.test('replaces the whole configuration and leaves messages and cursors alone', async t => {
    await configure(service, 'replaced', CUSTOM)
    await pushIds(service, 'replaced', ['a', 'b'])
    const a = await takeOne(service, 'replaced')
    const first = (await post({ queue: 'replaced', namespace: 'n', options: { leaseTime: 5 } })).json
    t.same(first.options, { ...DEFAULTS, leaseTime: 5 }, 'what is left out is reset')
    const second = (await post({ queue: 'replaced' })).json
    t.equal(second.namespace, '')
    t.same([second.queueId, second.partitionId], [first.queueId, first.partitionId])
    t.equal((await ackOne(service, a)).success, true)
    t.same(await takeIds(service, 'replaced'), ['b'])
  })

  t.test('with merge, changes what is given and leaves the rest', async t => {
    await post({ queue: 'merged', namespace: 'n', task: 'k', options: CUSTOM })
    const { status, json } = await post({ queue: 'merged', merge: true, task: 'other', options: { leaseTime: 12, ttl: null } })
    t.equal(status, 200)
    t.match(json, { configured: true, namespace: 'n', task: 'other' })
    t.same(json.options, { ...CUSTOM, leaseTime: 12 })
    t.match((await post({ queue: 'merged', merge: true, namespace: '' })).json, { namespace: '', task: 'other' })
    t.match((await post({ queue: 'shop.bill.new', merge: true, options: { leaseTime: 1 } })).json,
      { namespace: 'shop', task: 'bill', options: { ...DEFAULTS, leaseTime: 1 } }, 'a new one starts as a push would make it')
    t.match(await post({ queue: 'merged', merge: 'yes' }), { status: 400, json: { field: 'merge' } })
    t.match(await post({ queue: 'merged', merge: true, options: { leaseTime: -1 } }), { status: 400, json: { field: 'options.leaseTime' } })
  })

  t.test('reads null as the default and text as a number', async t => {
    const { json } = await post({ queue: 'lenient', options: { leaseTime: '45', priority: '-3', retryLimit: null, retentionEnabled: null } })
    t.same(json.options, { ...DEFAULTS, leaseTime: 45, priority: -3 })
  })

  t.test('takes every option at both ends of its range', async t => {
    for (const end of ['min', 'max'] as const) {
      const options = Object.fromEntries(Object.entries(QUEUE_OPTION_RULES).flatMap(([name, rule]) => 'min' in rule ? [[name, rule[end]]] : []))
      const { status, json } = await post({ queue: `at-${end}`, options })
      t.equal(status, 200)
      t.match(json.options, options)
      await pushIds(service, `at-${end}`, ['a'])
      t.equal((await service.pop(`at-${end}`)).status, 200)
    }
  })

  t.test('refuses an option that is of the wrong type or out of bounds, names it and stores nothing', async t => {
    await configure(service, 'kept', { leaseTime: 7 })
    const bad: [string, unknown][] = [
      ['leaseTime', -1], ['leaseTime', 'soon'], ['leaseTime', 1.5], ['leaseTime', true], ['leaseTime', ''], ['leaseTime', 1e9],
      ['retryLimit', -1], ['retryLimit', 2 ** 31], ['retryDelay', 86_400_001], ['priority', 2 ** 31], ['priority', []],
      ['retentionEnabled', 'true'], ['retentionEnabled', 1], ['windowBuffer', -1], ['delayedProcessing', {}],
      ['dedupWindowSeconds', 7 * 86_400 + 1], ['ttl', -1], ['maxSize', '9999999999'], ['encryptionEnabled', true]
    ]
    for (const [name, value] of bad) {
      const { status, json } = await post({ queue: 'kept', options: { leaseTime: 9, [name]: value } })
      t.equal(status, 400, name)
      t.match(json, { code: 'RGT_FIELD_INVALID', field: `options.${name}`, error: new RegExp(name) }, `${name} ${JSON.stringify(value)}`)
    }
    const [row] = await sql`select lease_seconds from regent.queues where name = 'kept'`
    t.equal(row?.lease_seconds, 7)
  })

  t.test('deletes a queue whose spaces the path has as pluses, unless there is one with pluses', async t => {
    for (const queue of ['a b', 'a+b']) await configure(service, queue, {})
    t.match((await remove('a+b')).json, { deleted: true, existed: true })
    t.same((await sql`select name from regent.queues where name in ('a b', 'a+b')`).map(row => row.name), ['a b'])
    t.match((await remove('a+b')).json, { deleted: true, existed: true })
    t.match((await remove('a+b')).json, { deleted: true, existed: false })
  })

  t.test('refuses a queue without a name that can be one', async t => {
    for (const body of [{}, { queue: null }, { queue: 5 }, { queue: '' }, { queue: 'x'.repeat(256) }, { queue: 'a\0' }, [], 'x']) {
      t.match(await post(JSON.stringify(body)), { status: 400, json: { code: 'RGT_FIELD_INVALID', field: 'queue' } }, JSON.stringify(body))
    }
    t.match(await post({ queue: 'x', namespace: 'a\0' }), { status: 400, json: { field: 'namespace' } })
    t.match(await post({ queue: 'x', task: 'x'.repeat(256) }), { status: 400, json: { field: 'task' } })
  })

  t.test('deletes a queue with everything in it, and says whether there was one', async t => {
    await pushIds(service, 'doomed', ['a', 'b'], 'p')
    const [a] = await take(service, 'doomed?batch=2&consumerGroup=g')
    if (a === undefined) throw new Error('nothing was delivered')
    await ackOne(service, a, { status: 'dlq' })
    t.same((await remove('doomed')).json, { deleted: true, queue: 'doomed', existed: true })
    const again = await remove('doomed')
    t.equal(again.status, 200)
    t.same(again.json, { deleted: true, queue: 'doomed', existed: false })
    t.same(await takeIds(service, 'doomed?consumerGroup=g'), [])
    t.match(await ackOne(service, a), { success: false, error: 'Message not found' })
    const gone = await sql`
      select 'partition' from regent.partitions p where not exists (select from regent.queues q where q.id = p.queue_id) union all
      select 'group' from regent.groups g where not exists (select from regent.queues q where q.id = g.queue_id)`
    t.same([...gone], [], 'at once')
    await until(async () => (await sql`
      select 'removal' from regent.removals union all
      select 'letter' from regent.dead_letters where queue = 'doomed' union all
      select 'cursor' from regent.cursors c where not exists (select from regent.partitions p where p.id = c.partition_id) union all
      select 'segment' from regent.segments s where not exists (select from regent.partitions p where p.id = s.partition_id) union all
      select 'attempt' from regent.attempts a where not exists (select from regent.partitions p where p.id = a.partition_id)`).length === 0)
  })

  t.test('starts afresh after a deletion: options, ids, cursors, subscriptions, duplicates', async t => {
    await configure(service, 'fresh', { leaseTime: 7, priority: 3 })
    await pushIds(service, 'fresh', ['a', 'b'])
    t.same(await takeIds(service, 'fresh?batch=9&consumerGroup=g&subscriptionMode=new'), [])
    const [, b] = await take(service, 'fresh?batch=2')
    await remove('fresh')
    const { json: [result] } = await service.push([{ queue: 'fresh', transactionId: 'b', payload: 'new' }])
    t.equal(result.status, 'queued')
    t.not(result.partition_id, b?.partitionId)
    t.same(await takeIds(service, 'fresh?batch=9&consumerGroup=g'), ['b'])
    const fresh = await takeOne(service, 'fresh?batch=9')
    t.equal(fresh.data, 'new')
    if (b !== undefined) t.match(await ackOne(service, b), { success: false }, 'the old message is not the new one')
    t.match([...await sql`select lease_seconds, priority from regent.queues where name = 'fresh'`], [{ lease_seconds: 300, priority: 0 }])
  })

  t.test('starts afresh through an instance that had the queue in memory, told of the deletion or not', async t => {
    const second = await startService(t, { databaseUrl: service.databaseUrl })
    await pushIds(second, 'cached', ['a'])
    // Nobody tells the second instance: its push must find out by itself.
    await sql`select regent.delete_queue_v1('cached')`
    const answers = await Promise.all(['a', 'b'].map(async id => await second.push([{ queue: 'cached', transactionId: id }, { queue: 'other', transactionId: id }])))
    t.same(answers.map(({ status, json }) => [status, json[0].status, json[1].status]), [[201, 'queued', 'queued'], [201, 'queued', 'queued']])
    t.same((await takeIds(service, 'cached?batch=9')).sort(), ['a', 'b'])
    await remove('cached')
    t.equal((await second.push([{ queue: 'cached', transactionId: 'a' }])).json[0].status, 'queued')
    t.same(await takeIds(second, 'cached?batch=9'), ['a'])
  })

  t.test('lets a waiting pop outlive the queue it waits for', async t => {
    await pushIds(service, 'outlived', ['a'])
    await takeOne(service, 'outlived')
    const waiting = takeIds(service, 'outlived?wait=true&timeout=15000')
    await until(async () => (await service.call('GET', '/health')).json.load.parkedPops > 0)
    await remove('outlived')
    await pushIds(service, 'outlived', ['b'])
    t.same(await waiting, ['b'])
  })

  t.test('applies a configuration to instances that knew the queue before', async t => {
    const second = await startService(t, { databaseUrl: service.databaseUrl })
    await pushIds(second, 'reconfigured', ['a'])
    await configure(service, 'reconfigured', { dedupWindowSeconds: 0 })
    await until(async () => (await second.push([{ queue: 'reconfigured', transactionId: 'a' }])).json[0].status === 'queued')
  })
})
