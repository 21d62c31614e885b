import t from 'tap'
import { LOOK, ackAll, payloads, poll, startWatched } from '../poll/parked.ts'
import { connect, until } from '../support.ts'

const RECOVER = /recover_v1/
const PUSH = /push_v2/
const CALL_TIMEOUT_MS = 1000

t.test('a pop whose answer is lost: its claim is recovered long before the lease would end, and not counted', async t => {
  const { service, proxy } = await startWatched(t, { callTimeoutMs: CALL_TIMEOUT_MS })
  await service.push([{ queue: 'q', payload: 1 }])
  const look = proxy.catch('answer', LOOK)
  const polled = poll(service, 'q')
  const caught = await look
  caught.cut()
  const answer = await polled.answer
  t.strictSame(payloads(answer), [1])
  t.equal(answer.json.messages[0].deliveryCount, 1)
  t.equal((await ackAll(service, answer)).json[0].success, true)
})

t.test('a pop whose client is gone by the time its answer is lost: the next one gets the message', async t => {
  const { service, proxy } = await startWatched(t, { callTimeoutMs: CALL_TIMEOUT_MS })
  await service.push([{ queue: 'q', payload: 1 }])
  const look = proxy.catch('answer', LOOK)
  const leaver = poll(service, 'q')
  const caught = await look
  leaver.leave()
  caught.cut()
  await until(() => proxy.count(RECOVER) > 0)
  t.strictSame(payloads(await poll(service, 'q').answer), [1])
})

t.test('a pop that the database carries out after everybody has given it up is recovered as well', async t => {
  const { service, proxy } = await startWatched(t, { callTimeoutMs: CALL_TIMEOUT_MS })
  await service.push([{ queue: 'q', payload: 0 }])
  await service.pop('q?autoAck=true')
  const look = proxy.catch('statement', LOOK)
  const polled = poll(service, 'q', 30_000)
  const caught = await look
  // The deadline passes, the pool is replaced, and there is nothing to recover yet.
  await until(() => proxy.count(RECOVER) === 1)
  // A message comes, and the late statement sees it before the poll does: it is claimed for nobody.
  const next = proxy.catch('statement', LOOK)
  await service.push([{ queue: 'q', payload: 1 }])
  const nextLook = await next
  caught.release()
  const sql = connect(t, proxy.url)
  await until(async () => (await sql`select from regent.cursors where lease_id is not null`).length === 1)
  nextLook.release()
  const answer = await polled.answer
  t.strictSame(payloads(answer), [1], 'not only after the lease of five minutes')
})

t.test('a push whose answer is lost is answered as queued and stored once', async t => {
  const { service, proxy } = await startWatched(t, { callTimeoutMs: CALL_TIMEOUT_MS })
  await service.push([{ queue: 'q', payload: 0 }])
  const push = proxy.catch('answer', PUSH)
  const answered = service.push([{ queue: 'q', payload: 1, transactionId: 'once' }])
  ;(await push).cut()
  const answer = await answered
  t.equal(answer.status, 201)
  t.equal(answer.json[0].status, 'queued')
  t.strictSame(payloads(await service.pop('q?batch=10')), [0, 1])
})

t.test('a push whose answer is lost is not repeated where nothing would recognise it: its outcome is unknown', async t => {
  const { service, proxy } = await startWatched(t, { callTimeoutMs: CALL_TIMEOUT_MS })
  await service.call('POST', '/api/v1/configure', { queue: 'q', options: { dedupWindowSeconds: 0 } })
  const push = proxy.catch('answer', PUSH)
  const answered = service.push([{ queue: 'q', payload: 1, transactionId: 'once' }])
  ;(await push).cut()
  t.match(await answered, { status: 503, json: { code: 'RGT_OUTCOME_UNKNOWN' } })
  t.strictSame(payloads(await service.pop('q?batch=10')), [1])
})

t.test('a failed acknowledgement whose answer is lost counts once', async t => {
  const { service, proxy } = await startWatched(t, { callTimeoutMs: CALL_TIMEOUT_MS })
  await service.call('POST', '/api/v1/configure', { queue: 'q', options: { retryDelay: 0 } })
  await service.push([{ queue: 'q', payload: 1 }])
  const [{ transactionId, partitionId }] = (await service.pop('q')).json.messages
  const ack = proxy.catch('answer', /ack_v1/)
  const answered = service.call('POST', '/api/v1/ack', { transactionId, partitionId, status: 'failed' })
  ;(await ack).cut()
  t.match(await answered, { status: 503, json: { code: 'RGT_OUTCOME_UNKNOWN' } })
  t.match((await service.pop('q?wait=true')).json.messages, [{ data: 1, retryCount: 1, deliveryCount: 2 }])
})
