import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { connect, until } from '../support.ts'
import { BUT_HEALTH, LOOK, parked, payloads, poll, startWatched, untilParked } from './parked.ts'

// Silence can only be observed for a while.
const OBSERVE_MS = 1500

t.test('a thousand parked polls, no safety net', async t => {
  const { service, proxy } = await startWatched(t)
  // Partitions that exist and have been read to their end, so that there are cursors to look at.
  const partitions = Array.from({ length: 500 }, (_, i) => `p${i}`)
  await service.push(partitions.map(partition => ({ queue: 'apart', partition, payload: 0 })))
  await service.pop('apart?batch=1000&partitions=1000&autoAck=true')
  const apart = partitions.map(partition => poll(service, `apart/partition/${partition}`))
  const together = partitions.map(() => poll(service, 'together'))
  await untilParked(service, 1000, proxy)

  await t.test('cause no statement at all', async t => {
    const before = proxy.count(BUT_HEALTH)
    await delay(OBSERVE_MS)
    t.strictSame(proxy.statements.filter(text => BUT_HEALTH.test(text)).slice(before), [])
    t.equal(await parked(service), 1000)
  })

  await t.test('a push to a partition wakes the one poll for it, with one look', async t => {
    const looks = proxy.count(LOOK)
    await service.push([{ queue: 'apart', partition: 'p77', payload: 'for 77' }])
    t.strictSame(payloads(await apart[77]!.answer), ['for 77'])
    await untilParked(service, 999, proxy)
    t.equal(proxy.count(LOOK), looks + 1)
  })

  await t.test('a message on a queue that many wait for answers the first of them, with one look', async t => {
    const looks = proxy.count(LOOK)
    await service.push([{ queue: 'together', payload: 'for one' }])
    await untilParked(service, 998, proxy)
    const answered = together.filter(({ result }) => result !== null)
    t.equal(answered.length, 1)
    t.strictSame(payloads(answered[0]!.result!), ['for one'])
    t.equal(proxy.count(LOOK), looks + 1)
  })

  await t.test('a push to another queue or another partition wakes nobody', async t => {
    const looks = proxy.count(LOOK)
    await service.push([{ queue: 'elsewhere', payload: 0 }, { queue: 'apart', partition: 'not polled', payload: 0 }])
    await untilParked(service, 998, proxy)
    t.equal(proxy.count(LOOK), looks)
  })

  await t.test('clients that leave are forgotten at once, and nothing is claimed for them later', async t => {
    for (const { leave } of apart.slice(100, 200)) leave()
    for (const { leave } of together.slice(400)) leave()
    await untilParked(service, 798, proxy)
    await service.push(partitions.slice(100, 200).map(partition => ({ queue: 'apart', partition, payload: 1 })))
    await untilParked(service, 798, proxy)
    const sql = connect(t, proxy.url)
    const rows = await sql`select count(*)::int as leases from regent.cursors c join regent.partitions p on p.id = c.partition_id
      where p.name = any(${partitions.slice(100, 200)}) and c.lease_id is not null`
    t.equal(rows[0]?.leases, 0)
  })

  await t.test('all others are still served', async t => {
    await service.push(partitions.map(partition => ({ queue: 'apart', partition, payload: 'end' })))
    await service.push(partitions.map(partition => ({ queue: 'together', partition, payload: 'end' })))
    const left = [...apart.slice(0, 77), ...apart.slice(78, 100), ...apart.slice(200), ...together.slice(0, 400)]
    const answers = await Promise.all(left.map(async ({ answer }) => await answer))
    const wrong = answers.filter(answer => answer.status !== 200 || answer.json.messages.length !== 1)
    t.equal(wrong.length, 0)
    t.equal(await parked(service), 0)
  })
})

t.test('the safety net looks once a round for everybody who waits', async t => {
  const { service, proxy } = await startWatched(t, { safetyNetMs: 400 })
  const polls = Array.from({ length: 300 }, () => poll(service, 'net'))
  await until(async () => await parked(service) === 300)
  const from = proxy.count(LOOK)
  const fromMs = performance.now()
  await until(() => proxy.count(LOOK) >= from + 4)
  const rounds = Math.ceil((performance.now() - fromMs) / 400) + 1
  t.ok(proxy.count(LOOK) - from <= rounds, 'one look serves all polls for the same thing')
  for (const { leave } of polls) leave()
  await until(async () => await parked(service) === 0)
})

t.test('a thousand polls are answered empty when their time is over', async t => {
  const { service } = await startWatched(t)
  // Timed where they arrive: a thousand new connections take their time on the client's side.
  const taken: { timeoutMs: number, tookMs: number }[] = []
  service.app.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const timeoutMs = Number(/timeout=(\d+)/.exec(request.url ?? '')?.[1])
    const arrivedAt = performance.now()
    response.once('finish', () => { taken.push({ timeoutMs, tookMs: performance.now() - arrivedAt }) })
  })
  const polls = Array.from({ length: 1000 }, (_, i) => poll(service, `silent-${i % 50}`, 500 + (i % 5) * 500))
  const answers = await Promise.all(polls.map(async ({ answer }) => await answer))
  t.ok(answers.every(({ status, json }) => status === 200 && json.messages.length === 0))
  t.equal(taken.length, 1000)
  // Timers count from the beginning of a turn of the event loop, which a thousand arrivals make a long one.
  t.strictSame(taken.filter(({ timeoutMs, tookMs }) => tookMs < timeoutMs / 2), [], 'none much too early')
  t.strictSame(taken.filter(({ timeoutMs, tookMs }) => tookMs > timeoutMs + 2000), [], 'none later than clients allow')
  t.equal(await parked(service), 0)
})
