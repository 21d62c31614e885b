import t from 'tap'
import { connect, createDatabase, databaseUrl, startService, until } from '../support.ts'
import { FaultProxy } from '../fault/proxy.ts'
import { buffered, bufferFolder, startBuffered, statuses, takeAll, untilDrained } from './support.ts'

const PUSH = /push_v2/

t.test('pushes while the database is away are buffered, and delivered in order when it is back', async t => {
  const { service, proxy } = await startBuffered(t)
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 0 }])), ['queued'])
  await proxy.leave()
  const first = await service.push([{ queue: 'q', payload: 1, transactionId: 'one' }, { queue: 'q', partition: 'p', payload: 2 }])
  t.equal(first.status, 201)
  t.match(first.json, [
    { index: 0, status: 'buffered', queue: 'q', partition: 'Default', transactionId: 'one', transaction_id: 'one', queueName: 'q' },
    { index: 1, status: 'buffered', queue: 'q', partition: 'p', transactionId: /^[0-9a-f-]{36}$/, queueName: 'q' }
  ])
  t.notOk('message_id' in first.json[0], 'it has none yet')
  for (let n = 3; n < 10; n++) t.strictSame(statuses(await service.push([{ queue: 'q', payload: n }])), ['buffered'])
  t.equal(await buffered(service), 9)
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 10 }])), ['queued'])
  const popped = await takeAll(service, 'q')
  t.strictSame(popped.filter(payload => payload !== 2), [0, 1, 3, 4, 5, 6, 7, 8, 9, 10])
  t.ok(popped.includes(2))
})

t.test('a push that is sent again while the first is buffered, or was stored before, is delivered once', async t => {
  const { service, proxy } = await startBuffered(t)
  await service.push([{ queue: 'q', payload: 'a', transactionId: 'a' }])
  await proxy.leave()
  await service.push([{ queue: 'q', payload: 'again', transactionId: 'a' }, { queue: 'q', payload: 'b', transactionId: 'b' }])
  await service.push([{ queue: 'q', payload: 'again', transactionId: 'b' }])
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'q'), ['a', 'b'])
})

t.test('a push that was stored although its answer was lost is not stored again by the drain', async t => {
  const { service, proxy } = await startBuffered(t)
  await service.push([{ queue: 'q', payload: 0 }])
  const caught = proxy.catch('answer', PUSH)
  const answered = service.push([{ queue: 'q', payload: 1 }])
  ;(await caught).cut()
  await proxy.leave()
  t.strictSame(statuses(await answered), ['buffered'])
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'q'), [0, 1])
})

t.test('duplicates are judged as of the time at which a push was accepted, however long the outage', async t => {
  const { service, proxy } = await startBuffered(t)
  await service.call('POST', '/api/v1/configure', { queue: 'q', options: { dedupWindowSeconds: 2 } })
  await service.push([{ queue: 'q', payload: 'stored', transactionId: 'a' }])
  await proxy.leave()
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 'repeated', transactionId: 'a' }])), ['buffered'])
  // Longer than the window: it is the outage that takes this long.
  await connect(t, databaseUrl())`select pg_sleep(3)`
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'q'), ['stored'])
})

t.test('queues without buffered messages are pushed to directly while another is drained', async t => {
  const { service, proxy } = await startBuffered(t, { fileBufferMaxBatch: 1 })
  await proxy.leave()
  for (let n = 0; n < 5; n++) await service.push([{ queue: 'behind', payload: n }])
  const first = proxy.catch('answer', PUSH)
  await proxy.comeBack()
  ;(await first).release()
  const second = await proxy.catch('answer', PUSH)
  t.strictSame(statuses(await service.push([{ queue: 'other', payload: 'x' }])), ['queued'])
  t.strictSame(statuses(await service.push([{ queue: 'behind', payload: 5 }])), ['buffered'])
  second.release()
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'behind'), [0, 1, 2, 3, 4, 5])
})

t.test('a transaction does not overtake what is buffered for its queue', async t => {
  const { service, proxy } = await startBuffered(t)
  await proxy.leave()
  await service.push([{ queue: 'q', payload: 1 }])
  const push = { operations: [{ type: 'push', items: [{ queue: 'q', payload: 2 }] }] }
  const refused = await service.call('POST', '/api/v1/transaction', push)
  t.equal(refused.status, 503)
  t.match(refused.json, { code: 'RGT_QUEUE_DRAINING', retryable: true, error: /q/ })
  await proxy.comeBack()
  await until(async () => (await service.call('POST', '/api/v1/transaction', push)).status === 200)
  t.strictSame(await takeAll(service, 'q'), [1, 2])
})

t.test('what was buffered is drained by the next start, which may be while the database is still away', async t => {
  const { service, proxy, folder } = await startBuffered(t)
  await service.push([{ queue: 'q', payload: 0 }])
  await proxy.leave()
  await service.push([{ queue: 'q', payload: 1 }])
  await service.close()
  const next = await startService(t, { databaseUrl: proxy.url, fileBufferDir: folder })
  t.equal(await buffered(next), 1)
  t.strictSame(statuses(await next.push([{ queue: 'q', payload: 2 }])), ['buffered'])
  t.equal((await next.call('GET', '/health')).status, 503)
  t.strictSame((await next.pop('q')).json.messages, [])
  await proxy.comeBack()
  await untilDrained(next)
  t.strictSame(await takeAll(next, 'q'), [0, 1, 2])
})

t.test('a service can start before its database was ever there', async t => {
  const proxy = await FaultProxy.start(t, await createDatabase(t))
  await proxy.leave()
  const service = await startService(t, { databaseUrl: proxy.url, fileBufferDir: bufferFolder(t) })
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 1 }])), ['buffered'])
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'q'), [1])
})

t.test('without a file buffer a push is refused while the database is away', async t => {
  const proxy = await FaultProxy.start(t, await createDatabase(t))
  const service = await startService(t, { databaseUrl: proxy.url })
  await proxy.leave()
  const answer = await service.push([{ queue: 'q', payload: 1 }])
  t.equal(answer.status, 503)
  t.match(answer.json, { code: 'RGT_DATABASE_AWAY', retryable: true })
})
