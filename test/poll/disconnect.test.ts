import { connect as connectSocket } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { connect, createDatabase, startService, until } from '../support.ts'
import type { Service } from '../support.ts'
import { LOOK, ackAll, parked, payloads, poll, startWatched, untilParked } from './parked.ts'

const RELEASE = /release_v2/

/** Leases that are held in a database. */
async function leases (sql: ReturnType<typeof connect>): Promise<number> {
  const [row] = await sql`select count(*)::int as n from regent.cursors where lease_id is not null and available_at > clock_timestamp()`
  return row?.n
}

async function pushOne (service: Service, queue: string, payload: unknown): Promise<void> {
  const { status } = await service.push([{ queue, payload }])
  if (status !== 201) throw new Error(`push answered ${status}`)
}

for (const how of ['lease', 'autoAck'] as const) {
  t.test(`a client that leaves while it is being looked for (${how}): the next poll gets the messages, not counted as delivered before`, async t => {
    const { service, proxy } = await startWatched(t)
    await pushOne(service, 'q', 'mine')
    const look = proxy.catch('answer', LOOK)
    const leaver = poll(service, how === 'autoAck' ? 'q?autoAck=true' : 'q')
    const caught = await look
    leaver.leave()
    await until(async () => await parked(service) === 0)
    const next = poll(service, 'q')
    caught.release()
    const answer = await next.answer
    t.strictSame(payloads(answer), ['mine'])
    t.equal(answer.json.messages[0].deliveryCount, 1)
    t.equal(answer.json.messages[0].retryCount, 0)
    await ackAll(service, answer)
    t.equal(await leases(connect(t, proxy.url)), 0)
    t.equal(await parked(service), 0)
  })
}

t.test('a client that leaves during the look is replaced by the next one in the line', async t => {
  const { service, proxy } = await startWatched(t)
  const first = poll(service, 'line')
  await untilParked(service, 1, proxy)
  const second = poll(service, 'line')
  await untilParked(service, 2, proxy)
  const look = proxy.catch('answer', LOOK)
  await pushOne(service, 'line', 1)
  const caught = await look
  first.leave()
  await until(async () => await parked(service) === 1)
  caught.release()
  t.strictSame(payloads(await second.answer), [1])
})

t.test('of 200 clients that leave during one look nothing is left behind', async t => {
  const { service, proxy } = await startWatched(t)
  const partitions = Array.from({ length: 200 }, (_, i) => `p${i}`)
  await service.push(partitions.map(partition => ({ queue: 'crowd', partition, payload: partition })))
  const look = proxy.catch('answer', LOOK)
  const polls = [poll(service, 'crowd')]
  const caught = await look
  for (let i = 1; i < 200; i++) polls.push(poll(service, 'crowd'))
  await untilParked(service, 200)
  const second = proxy.catch('answer', LOOK)
  caught.release()
  // The first one is served by the first look; the second look claims for the next ones in the line.
  const secondCaught = await second
  for (const { leave } of polls) leave()
  await until(async () => await parked(service) === 0)
  secondCaught.release()
  const sql = connect(t, proxy.url)
  await until(async () => await leases(sql) <= 1)
  const rest = await service.pop('crowd?batch=1000&partitions=1000')
  const served = polls[0]!.result === null ? 0 : 1
  t.equal(rest.json.messages.length, 200 - served, 'what was claimed can be had at once')
  t.ok(rest.json.messages.every((message: { deliveryCount: number }) => message.deliveryCount === 1))
})

t.test('an answer that did not get out is given back', async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  // More than the kernel takes off the service's hands on a loopback connection.
  const big = 'x'.repeat(24 * 1024 * 1024)
  await pushOne(service, 'big', big)
  // Reads nothing, so that the answer stays in the service's buffers until the connection ends.
  const socket = connectSocket(Number(new URL(service.url).port), '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.pause()
  socket.write('GET /api/v1/pop/queue/big HTTP/1.1\r\nhost: a\r\n\r\n')
  const sql = connect(t, service.databaseUrl)
  await until(async () => await leases(sql) === 1)
  socket.destroy()
  const answer = await poll(service, 'big').answer
  t.equal(answer.json.messages[0].data.length, big.length)
  t.equal(answer.json.messages[0].deliveryCount, 1)
})

t.test('a release is heard by a poll on another instance', async t => {
  const databaseUrl = await createDatabase(t)
  const { service, proxy } = await startWatched(t, { databaseUrl })
  const other = await startWatched(t, { databaseUrl })
  await pushOne(service, 'shared', 'handed over')
  const look = proxy.catch('answer', LOOK)
  const leaver = poll(service, 'shared')
  const caught = await look
  const waiting = poll(other.service, 'shared')
  await untilParked(other.service, 1, other.proxy)
  leaver.leave()
  await until(async () => await parked(service) === 0)
  caught.release()
  t.strictSame(payloads(await waiting.answer), ['handed over'])
  t.equal(proxy.count(RELEASE), 1)
})

t.test('what an absent client took with autoAck is not rewound over a message that somebody has acknowledged', async t => {
  const { service, proxy } = await startWatched(t)
  await service.push([1, 2, 3].map(payload => ({ queue: 'q', payload })))
  const [first, second] = (await service.pop('q?batch=3')).json.messages
  const acknowledgments = [{ ...first, status: 'retry' }, { ...second, status: 'completed' }]
  t.match((await service.call('POST', '/api/v1/ack/batch', { acknowledgments })).json, [{ success: true }, { success: true }])
  const look = proxy.catch('answer', LOOK)
  const leaver = poll(service, 'q?autoAck=true&batch=10')
  const caught = await look
  leaver.leave()
  await until(async () => await parked(service) === 0)
  caught.release()
  await until(() => proxy.count(RELEASE) === 1)
  t.notOk(payloads(await service.pop('q?batch=10')).includes(2))
})
