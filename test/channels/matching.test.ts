import { CHUNK, FINAL, REQUEST, START, id } from './raw-frames.ts'
import { finishExchange, overEach, take, works } from './support.ts'

overEach('each claim gets one request; one more request waits for another claim', async (t, start) => {
  const { join } = await start()
  const [x, y] = [await join(), await join()]
  const senders = [await join(), await join(), await join()] as const
  for (const receiver of [x, y]) {
    receiver.claim()
    await receiver.sync()
  }
  const requests = []
  for (const sender of senders) {
    requests.push(sender.open())
    await sender.sync()
  }
  const [first = '', second = '', third = ''] = requests
  await take(senders[0], x, first)
  await take(senders[1], y, second)
  await finishExchange(t, senders[0], x, first)
  await finishExchange(t, senders[1], y, second)
  for (const client of [x, y, senders[2]]) t.ok(await client.isQuiet())
  y.claim()
  await take(senders[2], y, third)
  await finishExchange(t, senders[2], y, third)
})

overEach('the oldest request goes to the claim that comes first', async (_t, start) => {
  const { join } = await start()
  const [one, two, x, y] = [await join(), await join(), await join(), await join()]
  const older = one.open()
  await one.sync()
  const newer = two.open()
  await two.sync()
  x.claim()
  await take(one, x, older)
  y.claim()
  await take(two, y, newer)
})

overEach('the claim that has waited longest gets the request that comes first', async (_t, start) => {
  const { join } = await start()
  const [one, two, x, y] = [await join(), await join(), await join(), await join()]
  x.claim()
  await x.sync()
  y.claim()
  await y.sync()
  const first = one.open()
  await take(one, x, first)
  const second = two.open()
  await take(two, y, second)
})

overEach('channels have nothing to do with each other', async (t, start) => {
  const { join } = await start()
  const [sender, stranger, receiver] = [await join(), await join(id()), await join()]
  stranger.claim()
  await stranger.sync()
  const request = sender.open()
  t.ok(await sender.isQuiet())
  t.ok(await stranger.isQuiet())
  receiver.claim()
  await take(sender, receiver, request)
  t.ok(await stranger.isQuiet())
})

overEach('nobody is given a request of its own', async (t, start) => {
  const { join } = await start()
  const [client, other, third] = [await join(), await join(), await join()]
  client.claim()
  const request = client.open()
  t.ok(await client.isQuiet())
  const second = client.open()
  client.claim()
  t.ok(await client.isQuiet())
  other.claim()
  await take(client, other, request)
  await finishExchange(t, client, other, request)
  t.ok(await client.isQuiet())
  const foreign = third.open()
  await take(third, client, foreign)
  other.claim()
  await take(client, other, second)
})

overEach('a full queue refuses the request that comes next, and nothing else', async (t, start) => {
  const { join } = await start()
  const [sender, other, receiver] = [await join(), await join(), await join()]
  const requests = Array.from({ length: 1024 }, () => id())
  sender.write(Buffer.concat(requests.map(request => sender.bytes({ type: START, flags: REQUEST, request }))))
  t.ok(await sender.isQuiet())
  const refused = other.open()
  const error = await other.nextError()
  t.same([error.request, error.client, error.payload.toString()], [refused, other.id, 'queue full'])
  other.send(CHUNK, REQUEST, refused, { sequence: FINAL, payload: 'on its way already' })
  t.ok(await other.isQuiet(), 'one error')
  const elsewhere = await join(id())
  elsewhere.open()
  t.ok(await elsewhere.isQuiet(), 'another channel has a queue of its own')
  receiver.claim()
  await take(sender, receiver, requests[0] ?? '')
  other.open()
  t.ok(await other.isQuiet(), 'there is room again')
})

overEach('a client has a bounded number of operations, as a sender and as a receiver', async (t, start) => {
  const { join } = await start({ maxOperations: 3 })
  const [sender, receiver, helper] = [await join(), await join(), await join()]
  for (let n = 0; n < 3; n++) receiver.claim()
  t.ok(await receiver.isQuiet())
  t.equal(receiver.claim(), (await receiver.nextError()).request)
  const requests = [sender.open(), sender.open(), sender.open()]
  t.ok(await sender.isQuiet())
  t.equal(sender.open(), (await sender.nextError()).request)
  t.same(await receiver.nextTexts(3), ['start|request', 'start|request', 'start|request'])
  t.equal(receiver.claim(), (await receiver.nextError()).request, 'what it was given counts as well')
  for (const request of requests) sender.send(CHUNK, REQUEST, request, { sequence: 7 })
  t.same(await sender.nextTexts(3), ['error', 'error', 'error'])
  t.same(await receiver.nextTexts(3), ['error', 'error', 'error'])
  await works(t, sender, receiver)
  await works(t, helper, receiver)
})
