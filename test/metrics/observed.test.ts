import t from 'tap'
import { ackAll, parked, payloads, poll, untilParked } from '../poll/parked.ts'
import { parseExposition, valueOf } from '../routes/metrics-text.ts'
import { connect, startService, until } from '../support.ts'
import type { Service } from '../support.ts'

type Values = (name: string, labels?: Record<string, string>) => number

/** What a scraper reads now. */
async function scrape (service: Service): Promise<Values> {
  const families = parseExposition((await service.call('GET', '/metrics/prometheus')).text)
  return (name, labels) => valueOf(families, `queen_${name}`, labels)
}

t.test('requests are timed by method, route and class of status', async t => {
  const service = await startService(t, { prefix: '/mq' })
  const count = async (method: string, route: string, status: string): Promise<number> => {
    const families = parseExposition((await service.call('GET', '/mq/metrics/prometheus')).text)
    const labels = JSON.stringify({ method, route, status })
    return families.get('queen_http_request_duration_seconds')?.samples
      .find(sample => sample.name.endsWith('_count') && JSON.stringify(sample.labels) === labels)?.value ?? 0
  }
  await service.call('POST', '/mq/api/v1/push', { items: [{ queue: 'timed', payload: 1 }] })
  await service.call('POST', '/mq/api/v1/push', { items: 'none' })
  await service.call('GET', '/mq/api/v1/pop/queue/timed')
  await service.call('GET', '/mq/api/v1/pop/queue/other')
  await service.call('GET', '/mq/nowhere/12345')
  const gone = new AbortController()
  const leaving = service.call('GET', '/mq/api/v1/pop/queue/empty?wait=true&timeout=60000', undefined, { signal: gone.signal })
  await until(async () => (await service.call('GET', '/mq/health')).json.load.parkedPops === 1)
  gone.abort()
  await t.rejects(leaving)
  const POP = '/api/v1/pop/queue/:queue'
  await until(async () => await count('GET', POP, 'gone') === 1)
  t.equal(await count('POST', '/api/v1/push', '2xx'), 1)
  t.equal(await count('POST', '/api/v1/push', '4xx'), 1)
  t.equal(await count('GET', POP, '2xx'), 2, 'one series for all queues')
  t.equal(await count('GET', 'none', '4xx'), 1, 'paths that somebody makes up are no labels')
})

t.test('what passes the lanes and the database', async t => {
  const service = await startService(t)
  await service.push([1, 2, 3, 4, 5].map(payload => ({ queue: 'lanes', payload })))
  const answer = await service.pop('lanes?batch=5')
  const [first, ...others] = answer.json.messages
  await service.call('POST', '/api/v1/transaction', {
    operations: [{ type: 'push', items: [{ queue: 'next', payload: 1 }] }, { type: 'ack', ...first, status: 'completed' }]
  })
  await ackAll(service, { ...answer, json: { ...answer.json, messages: others } })
  const value = await scrape(service)
  for (const [lane, items] of [['push', 5], ['ack', 4], ['transaction', 1]] as const) {
    t.equal(value('lane_call_items_sum', { lane }), items, lane)
    t.equal(value('lane_call_items_count', { lane }), 1, lane)
    t.equal(value('lane_wait_seconds_count', { lane }), 1, lane)
    t.equal(value('lane_waiting', { lane }), 0, lane)
    t.equal(value('lane_calls', { lane }), 0, lane)
    t.equal(value('db_call_duration_seconds_count', { call: lane }), 1, lane)
  }
  t.equal(value('db_call_duration_seconds_count', { call: 'pop' }), 1)
  t.ok(value('db_call_duration_seconds_count', { call: 'other' }) > 0)
  t.ok(value('db_call_duration_seconds_sum', { call: 'push' }) > 0)
  t.equal(value('messages_stored_total'), 6)
  t.equal(value('messages_delivered_total'), 5)
  t.equal(value('messages_acknowledged_total', { result: 'success' }), 5)
  t.equal(value('messages_redelivered_total'), 0)
})

t.test('what waits in a lane for a call that does not come back', async t => {
  const service = await startService(t)
  await service.push([{ queue: 'locked', payload: 0 }])
  const sql = connect(t, service.databaseUrl)
  const pushes: Promise<unknown>[] = []
  const push = (payload: number): void => { pushes.push(service.push([{ queue: 'locked', payload }])) }
  await sql.begin(async locking => {
    await locking`select from regent.partitions for update`
    push(1)
    await until(async () => (await scrape(service))('lane_calls', { lane: 'push' }) === 1)
    // For the same partition: only one call at a time may write to it.
    push(2)
    push(3)
    await until(async () => (await scrape(service))('lane_waiting', { lane: 'push' }) === 2)
  })
  await Promise.all(pushes)
  const value = await scrape(service)
  t.equal(value('lane_waiting', { lane: 'push' }), 0)
  t.equal(value('lane_wait_seconds_count', { lane: 'push' }), 4)
  t.ok(value('lane_wait_seconds_sum', { lane: 'push' }) > 0)
})

t.test('a pop that waits is counted, and how long it took to get what came', async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  await service.push([{ queue: 'here', payload: 1 }])
  await service.pop('here?wait=true&timeout=60000')
  t.equal((await scrape(service))('wake_latency_seconds_count'), 0, 'what was there before is no wake-up')
  const waiting = poll(service, 'later')
  await untilParked(service, 1)
  t.equal((await scrape(service))('parked_pops'), 1)
  await service.push([{ queue: 'later', payload: 2 }])
  t.same(payloads(await waiting.answer), [2])
  const value = await scrape(service)
  t.equal(await parked(service), 0)
  t.equal(value('parked_pops'), 0)
  t.equal(value('wake_latency_seconds_count'), 1)
  t.ok(value('wake_latency_seconds_sum') > 0)
})

t.test('the age of messages at their delivery counts for each of them', async t => {
  const service = await startService(t)
  await service.push([1, 2, 3].map(payload => ({ queue: 'aged', payload })))
  await connect(t, service.databaseUrl)`update regent.segments set created_at = created_at - interval '1 hour'`
  t.equal((await service.pop('aged?batch=3')).json.messages.length, 3)
  const value = await scrape(service)
  t.equal(value('message_age_seconds_count'), 3)
  t.equal(value('message_age_seconds_bucket', { le: '1800' }), 0)
  t.equal(value('message_age_seconds_bucket', { le: '7200' }), 3)
  t.ok(value('message_age_seconds_sum') >= 3 * 3600)
})

t.test('leases that run out, and messages that come again for that or another reason', async t => {
  const service = await startService(t)
  await service.call('POST', '/api/v1/configure', { queue: 'slow', options: { leaseTime: 3, retryDelay: 0 } })
  await service.push([1, 2, 3].map(payload => ({ queue: 'slow', payload })))
  const { messages: [first] } = (await service.pop('slow?batch=2')).json
  await service.call('POST', '/api/v1/ack', { ...first, status: 'completed' })
  // Nobody acknowledges the second one.
  const again = await poll(service, 'slow?batch=10').answer
  t.same(payloads(again), [2, 3])
  const value = await scrape(service)
  t.equal(value('leases_expired_total'), 1)
  t.equal(value('messages_redelivered_total'), 1, 'the third came for the first time')
  await ackAll(service, again, 'retry')
  t.same(payloads(await poll(service, 'slow?batch=10').answer), [2, 3])
  const after = await scrape(service)
  t.equal(after('messages_redelivered_total'), 3)
  t.equal(after('messages_acknowledged_total', { result: 'failed' }), 2)
})

t.test('calls that fail, and what the event loop did meanwhile', async t => {
  const service = await startService(t, { metricsSampleMs: 20, poolSize: 2 })
  await service.push([{ queue: 'q', payload: 1 }])
  const before = await scrape(service)
  await connect(t, service.databaseUrl)`drop function regent.extend_v1`
  await service.call('POST', '/api/v1/lease/00000000-0000-4000-a000-000000000000/extend', { seconds: 1 })
  const value = await scrape(service)
  t.equal(value('db_call_failures_total') - before('db_call_failures_total'), 1)
  await until(async () => (await scrape(service))('event_loop_delay_seconds_count') > before('event_loop_delay_seconds_count'))
})
