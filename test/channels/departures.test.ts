import type { RawClient } from './raw-client.ts'
import { CHUNK, END, ERROR, FINAL, RECEIVE, REQUEST, RESPONSE } from './raw-frames.ts'
import type { Hex } from './raw-frames.ts'
import { until } from '../support.ts'
import { accepted, finishExchange, overEach, take, works } from './support.ts'
import type { Channels } from './support.ts'

/** The client goes, and the server knows it. */
async function leave ({ broker }: Channels, client: RawClient, how: 'closes' | 'resets' | 'half-closes' = 'closes'): Promise<void> {
  const { clients } = broker.figures()
  if (how === 'resets') client.socket.resetAndDestroy()
  else if (how === 'half-closes') client.socket.end()
  else client.socket.destroy()
  await until(() => broker.figures().clients === clients - 1)
}

/** The sender has its reply in full; it has not said that it is done. */
async function replied (sender: RawClient, receiver: RawClient): Promise<Hex> {
  const request = await accepted(sender, receiver)
  sender.send(CHUNK, REQUEST, request, { sequence: FINAL, payload: 'x' })
  await receiver.next()
  receiver.send(CHUNK, RESPONSE, request, { client: sender.id, sequence: FINAL, payload: 'y' })
  await sender.next()
  return request
}

for (const how of ['closes', 'resets', 'half-closes'] as const) {
  overEach(`a receiver that waits and ${how} is given nothing`, async (t, start) => {
    const channels = await start()
    const [gone, sender, receiver] = [await channels.join(), await channels.join(), await channels.join()]
    gone.claim()
    await gone.sync()
    await leave(channels, gone, how)
    const request = sender.open()
    t.ok(await sender.isQuiet())
    receiver.claim()
    await take(sender, receiver, request)
    await finishExchange(t, sender, receiver, request)
  })
}

overEach('a request whose receiver leaves before it has accepted is the next one to be given', async (t, start) => {
  const channels = await start()
  const [gone, one, two, receiver] = [await channels.join(), await channels.join(), await channels.join(), await channels.join()]
  gone.claim()
  await gone.sync()
  const first = one.open()
  t.equal((await gone.next()).request, first)
  const second = two.open()
  await two.sync()
  await leave(channels, gone)
  receiver.claim()
  await take(one, receiver, first)
  await finishExchange(t, one, receiver, first)
  receiver.claim()
  await take(two, receiver, second)
  t.ok(await one.isQuiet())
})

overEach('a request whose receiver leaves goes to one that waits already; several keep their order', async (t, start) => {
  const channels = await start()
  const [gone, sender, receiver, late] = [await channels.join(), await channels.join(), await channels.join(), await channels.join()]
  for (let claim = 0; claim < 3; claim++) gone.claim()
  await gone.sync()
  receiver.claim()
  await receiver.sync()
  const requests = [sender.open(), sender.open(), sender.open()]
  await sender.sync()
  await leave(channels, gone)
  late.claim()
  await late.sync()
  late.claim()
  const given = [await receiver.next(), await late.next(), await late.next()].map(({ request }) => request)
  t.same([...given].sort(), [...requests].sort(), 'each went to somebody')
  t.ok(given.slice(1).every((request, place, all) => place === 0 || requests.indexOf(all[place - 1] ?? '') < requests.indexOf(request)), 'what waited kept its order')
})

overEach('a request of which data was handed on before the acceptance is not given to another', async (t, start) => {
  const channels = await start()
  const [gone, sender, receiver] = [await channels.join(), await channels.join(), await channels.join()]
  gone.claim()
  await gone.sync()
  const request = sender.open()
  sender.send(CHUNK, REQUEST, request, { sequence: 0, payload: 'x' })
  t.same(await gone.nextTexts(2), ['start|request', 'chunk|request 0 "x"'])
  await leave(channels, gone)
  t.equal((await sender.nextError()).request, request)
  receiver.claim()
  t.ok(await receiver.isQuiet())
})

overEach('the sender hears at once that the receiver of its request has left, and once', async (t, start) => {
  const channels = await start()
  const [sender, gone, waiting] = [await channels.join(), await channels.join(), await channels.join()]
  const request = await accepted(sender, gone)
  sender.send(CHUNK, REQUEST, request, { sequence: 0, payload: 'x' })
  await gone.next()
  waiting.claim()
  await waiting.sync()
  await leave(channels, gone)
  const error = await sender.nextError()
  t.same([error.request, error.client, error.payload.toString()], [request, sender.id, 'receiver disconnected'])
  sender.send(CHUNK, REQUEST, request, { sequence: 1 })
  sender.send(CHUNK, REQUEST, request, { sequence: FINAL + 2 })
  sender.done(request)
  t.ok(await sender.isQuiet())
  t.ok(await waiting.isQuiet())
})

overEach('a request is accepted once: also without any data it is not given to another', async (t, start) => {
  const channels = await start()
  const [sender, gone, waiting] = [await channels.join(), await channels.join(), await channels.join()]
  const request = await accepted(sender, gone)
  waiting.claim()
  await waiting.sync()
  await leave(channels, gone)
  t.equal((await sender.nextError()).request, request)
  t.ok(await waiting.isQuiet())
})

overEach('a receiver that leaves after its whole reply leaves a good reply behind', async (t, start) => {
  const channels = await start()
  const sender = await channels.join()
  for (const isSenderFirst of [false, true]) {
    const receiver = await channels.join()
    const request = await replied(sender, receiver)
    if (isSenderFirst) {
      sender.done(request)
      t.same(await receiver.nextTexts(1), ['end|request'])
    }
    await leave(channels, receiver)
    if (!isSenderFirst) {
      t.ok(await sender.isQuiet(), 'no error, and no end before the sender\'s')
      sender.done(request)
    }
    t.same((await sender.next()).bytes, sender.bytes({ type: END, flags: RESPONSE, request }), 'the frame that the receiver would have written')
    t.ok(await sender.isQuiet())
  }
})

overEach('a sender that leaves takes its waiting request with it', async (t, start) => {
  const channels = await start()
  const [gone, sender, receiver] = [await channels.join(), await channels.join(), await channels.join()]
  gone.open()
  await gone.sync()
  await leave(channels, gone)
  receiver.claim()
  t.ok(await receiver.isQuiet())
  const request = sender.open()
  await take(sender, receiver, request)
})

overEach('a receiver hears once that the sender has left in the middle, and goes on', async (t, start) => {
  const channels = await start()
  const [gone, sender, receiver] = [await channels.join(), await channels.join(), await channels.join()]
  const request = await accepted(gone, receiver)
  gone.send(CHUNK, REQUEST, request, { sequence: 0, payload: 'x' })
  await leave(channels, gone)
  t.same(await receiver.nextTexts(2), ['chunk|request 0 "x"', 'error'])
  receiver.send(CHUNK, RECEIVE, request)
  receiver.send(CHUNK, RESPONSE, request, { client: gone.id, sequence: FINAL, payload: 'late' })
  t.ok(await receiver.isQuiet())
  await works(t, sender, receiver)
})

overEach('a receiver hears nothing when the sender leaves after its end', async (t, start) => {
  const channels = await start()
  const [gone, sender, receiver] = [await channels.join(), await channels.join(), await channels.join()]
  const request = await replied(gone, receiver)
  gone.done(request)
  t.same(await receiver.nextTexts(1), ['end|request'])
  await leave(channels, gone)
  t.ok(await receiver.isQuiet())
  receiver.over(request, gone)
  t.ok(await receiver.isQuiet())
  await works(t, sender, receiver)
})

overEach('a frame that breaks off with its stream is not handed on', async (t, start) => {
  const channels = await start()
  const [gone, receiver] = [await channels.join(), await channels.join()]
  const request = await accepted(gone, receiver)
  const half = gone.bytes({ type: CHUNK, flags: REQUEST, request, sequence: 0, payload: 'x'.repeat(1000) }).subarray(0, 700)
  gone.writePart(half)
  gone.socket.end()
  const error = await receiver.next()
  t.same([error.type, error.request], [ERROR, request])
  t.ok(await receiver.isQuiet())
})

overEach('requests that are given back go to claims in the order in which they came', async (t, start) => {
  const channels = await start()
  const [gone, other, sender] = [await channels.join(), await channels.join(), await channels.join()]
  gone.claim()
  gone.claim()
  await gone.sync()
  const requests = [sender.open(), sender.open()]
  t.same([(await gone.next()).request, (await gone.next()).request], requests)
  other.claim()
  await other.sync()
  await leave(channels, gone)
  t.equal((await other.next()).request, requests[0], 'the older one')
  other.claim()
  t.equal((await other.next()).request, requests[1])
})
