import t from 'tap'
import type { Test } from 'tap'
import { parseExposition, valueOf } from '../routes/metrics-text.ts'
import { startService, until } from '../support.ts'
import type { Service } from '../support.ts'
import { RawClient } from './raw-client.ts'
import { REQUEST, START, id } from './raw-frames.ts'
import type { Hex } from './raw-frames.ts'
import { accepted, finishExchange, works } from './support.ts'

const OPENED_ENDED = ['completed', 'timeout', 'receiver_left', 'sender_left', 'invalid', 'stopped']

async function join (t: Test, service: Service, channel: Hex): Promise<RawClient> {
  return await RawClient.connect(t, service.channels().address()?.port ?? 0, channel)
}

async function scrape (service: Service): Promise<(name: string, labels?: Record<string, string>) => number> {
  const families = parseExposition((await service.call('GET', '/metrics/prometheus')).text)
  return (name, labels) => valueOf(families, `queen_channel${name}`, labels)
}

function uuid (hex: Hex): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

t.test('what is counted adds up with what was done', async t => {
  const service = await startService(t, { channelsPort: 0, channelsMaxQueued: 1 })
  const channel = id()
  const [sender, receiver] = [await join(t, service, channel), await join(t, service, channel)]
  const before = await scrape(service)
  t.equal(before('_frames_total'), 0)

  const request = await accepted(sender, receiver)
  await finishExchange(t, sender, receiver, request)
  const value = await scrape(service)
  t.equal(value('_requests_opened_total'), 1)
  t.equal(value('_requests_ended_total', { cause: 'completed' }), 1)
  // A claim and the question behind it, a request, its acceptance, two chunks and an end each way.
  t.equal(value('_frames_total'), 10)
  t.equal(value('_payload_bytes_total'), 2 * 'hello'.length)
  t.equal(value('_invalid_frames_total'), 1, 'the question that tells when the claim has arrived')

  sender.open(id(), { timeoutMs: 50 })
  await sender.nextError()
  const wrong = sender.open()
  sender.send(START, REQUEST, id(), { payload: 'x' })
  await sender.nextError()
  sender.open()
  await sender.nextError()
  sender.send(START, REQUEST, wrong)
  await sender.nextError()
  const dying = await join(t, service, channel)
  await accepted(sender, dying)
  dying.socket.destroy()
  await sender.nextError()
  const leaving = await join(t, service, channel)
  leaving.open()
  await leaving.sync()
  leaving.socket.destroy()
  await until(() => service.channels().stats().clients === 2)

  const after = await scrape(service)
  for (const cause of OPENED_ENDED) t.equal(after('_requests_ended_total', { cause }), cause === 'stopped' ? 0 : 1, cause)
  for (const cause of ['queue_full', 'invalid']) t.equal(after('_requests_refused_total', { cause }), 1, cause)
  t.equal(after('_requests_refused_total', { cause: 'too_many' }), 0)
  t.equal(after('_requests_opened_total'), OPENED_ENDED.reduce((sum, cause) => sum + after('_requests_ended_total', { cause }), 0), 'nothing is live')
  t.same([after('s'), after('_requests_queued'), after('_exchanges'), after('_claims'), after('_pending_bytes')], [1, 0, 0, 0, 0])
  await works(t, sender, receiver)
})

t.test('a client with too many operations is refused more, and a service that stops ends what is live', async t => {
  const service = await startService(t, { channelsPort: 0, channelsMaxOperations: 1 })
  const [sender, receiver] = [await join(t, service, id()), await join(t, service, id())]
  sender.open()
  sender.open()
  await sender.nextError()
  receiver.open()
  await receiver.sync()
  const value = await scrape(service)
  t.equal(value('_requests_refused_total', { cause: 'too_many' }), 1)
  await service.close()
  t.match(service.channels().stats(), { opened: 2, stopped: 2, failed: 3, requests: 0, channels: 0 })
})

t.test('what there is at this moment, by channel: those with most waiting requests first', async t => {
  const service = await startService(t, { channelsPort: 0 })
  const survey = async (query = ''): Promise<any> => (await service.call('GET', `/api/v1/status/channels${query}`)).json
  t.same(await survey(), { connections: { tcp: 0, websocket: 0, http: 0, local: 0 }, total: 0, totals: { clients: 0, queued: 0, exchanges: 0, claims: 0 }, channels: [] })

  const [busy, calm, other] = [id(), ...[id(), id()].sort()] as [Hex, Hex, Hex]
  const senders = [await join(t, service, busy), await join(t, service, busy)]
  const [sender, receiver, waiting] = [await join(t, service, calm), await join(t, service, calm), await join(t, service, other)]
  for (const client of senders) {
    client.open()
    await client.sync()
  }
  const request = await accepted(sender, receiver)
  waiting.claim()
  await waiting.sync()

  const { connections, total, totals, channels } = await survey()
  t.same(connections, { tcp: 5, websocket: 0, http: 0, local: 0 })
  t.equal(total, 3)
  t.same(totals, { clients: 5, queued: 2, exchanges: 1, claims: 1 })
  const { oldestWaitingMs, ...first } = channels[0]
  t.ok(Number.isInteger(oldestWaitingMs) && oldestWaitingMs >= 0)
  t.same([first, ...channels.slice(1)], [
    { channel: uuid(busy), clients: 2, queued: 2, exchanges: 0, claims: 0 },
    { channel: uuid(calm), clients: 2, queued: 0, exchanges: 1, claims: 0, oldestWaitingMs: null },
    { channel: uuid(other), clients: 1, queued: 0, exchanges: 0, claims: 1, oldestWaitingMs: null }
  ])
  await until(async () => (await survey()).channels[0].oldestWaitingMs > oldestWaitingMs)
  t.same((await survey('?limit=1')).channels.map((shown: { channel: string }) => shown.channel), [uuid(busy)])
  const { json } = await service.call('GET', '/metrics')
  t.same(json.channels, { channels: 3, clients: 5, queued: 2, exchanges: 1, claims: 1 })
  const value = await scrape(service)
  t.same([value('s'), value('_connections', { transport: 'tcp' }), value('_requests_queued'), value('_exchanges'), value('_claims')], [3, 5, 2, 1, 1])

  await finishExchange(t, sender, receiver, request)
  for (const client of [...senders, sender, receiver, waiting]) client.socket.destroy()
  await until(async () => (await survey()).total === 0)
})

t.test('many channels: as many are shown as are wanted, and all are counted', async t => {
  const service = await startService(t, { channelsPort: 0 })
  const channels = Array.from({ length: 20 }, id)
  const clients = await Promise.all(channels.map(async channel => await join(t, service, channel)))
  for (const [place, client] of clients.entries()) {
    for (let i = 0; i < place % 5; i++) client.open()
    client.claim()
    await client.sync()
  }
  const { json } = await service.call('GET', '/api/v1/status/channels?limit=6')
  t.equal(json.total, 20)
  t.same(json.totals, { clients: 20, queued: 40, exchanges: 0, claims: 20 })
  const expected = channels.map((channel, place) => ({ channel: uuid(channel), queued: place % 5 }))
    .sort((one, two) => two.queued - one.queued || (one.channel < two.channel ? -1 : 1))
  t.match(json.channels, expected.slice(0, 6))
  t.equal(json.channels.length, 6)
})
