import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { until } from '../support.ts'
import { hang, shout, startClients } from './client-support.ts'
import { PollingClient, STAGES } from './polling-client.ts'
import { CHUNK, END, FINAL, REQUEST, RESPONSE, START, frame, id, text as frameText } from './raw-frames.ts'
import type { RawClient } from './raw-client.ts'
import type { Received } from './raw-frames.ts'

/** A request of the client under test, seen by a receiver that claims and accepts it. */
async function given (receiver: RawClient): Promise<Received> {
  receiver.claim()
  const start = await receiver.next()
  t.equal(start.type, START)
  receiver.send(START, RESPONSE, start.request, { client: start.client })
  return start
}

t.test('a request is the frames that the protocol asks for, byte for byte', async t => {
  const { client, join } = await startClients(t)
  const sender = client()
  const receiver = await join()
  // Connected before: no time goes by between the call and its first frame.
  const first = sender.send('')
  const before = await given(receiver)
  receiver.send(CHUNK, RESPONSE, before.request, { client: before.client, sequence: FINAL })
  t.same(await receiver.nextTexts(2), ['chunk|request 0 final ""', 'end|request'])
  receiver.send(END, RESPONSE, before.request, { client: before.client })
  t.equal(await text(first), '')

  const reply = text(sender.send(Readable.from(['hello', 'world']), { timeoutMs: 5000 }))
  const start = await given(receiver)
  const { request, client: senderId } = start
  t.match(request, /^.{12}4.{3}[89ab].{15}$/, 'a random UUID')
  t.equal(senderId, before.client, 'the same connection')
  const expected = (type: number, sequence: number, payload = ''): Buffer =>
    frame({ type, flags: REQUEST, request, client: senderId, channel: receiver.channel, timeoutMs: 5000, sequence, payload })
  t.same(start.bytes, expected(START, FINAL))
  for (const bytes of [expected(CHUNK, 0, 'hello'), expected(CHUNK, 1, 'world'), expected(CHUNK, FINAL + 2)]) t.same((await receiver.next()).bytes, bytes)
  receiver.send(CHUNK, RESPONSE, request, { client: senderId, sequence: 0, payload: 'the' })
  receiver.send(CHUNK, RESPONSE, request, { client: senderId, sequence: FINAL + 1, payload: ' end' })
  t.same((await receiver.next()).bytes, expected(END, FINAL))
  t.equal(await reply, 'the end', 'there is no need to wait for the end frame')
  receiver.send(END, RESPONSE, request, { client: senderId })
  t.ok(await receiver.isQuiet())
})

t.test('a reply is the frames that the protocol asks for, byte for byte', async t => {
  const { client, join } = await startClients(t)
  client().receive(() => Readable.from(['HEL', 'LO']))
  const sender = await join()
  const request = sender.open(id(), { timeoutMs: 7000 })
  const expected = (type: number, sequence: number, payload = ''): Buffer =>
    frame({ type, flags: RESPONSE, request, client: sender.id, channel: sender.channel, timeoutMs: 7000, sequence, payload })
  t.same((await sender.next()).bytes, expected(START, FINAL))
  sender.ask(request, 'hello')
  for (const bytes of [expected(CHUNK, 0, 'HEL'), expected(CHUNK, 1, 'LO'), expected(CHUNK, FINAL + 2)]) t.same((await sender.next()).bytes, bytes)
  sender.done(request)
  t.same((await sender.next()).bytes, expected(END, FINAL))
  t.ok(await sender.isQuiet())
})

t.test('it works with peers that poll for each frame', async t => {
  const { client, join } = await startClients(t)
  const [one, other] = [client(), client()]
  const polling = new PollingClient(await join())
  const asked = text(one.send('to a polling one'))
  t.ok(await polling.receive(message => `${message}, answered`))
  t.equal(await asked, 'to a polling one, answered')
  other.receive(shout)
  t.equal(await polling.send('from a polling one'), 'FROM A POLLING ONE')
  t.same(polling.strays, [])
})

t.test('a receiver may die at any moment: the request is served by another, answered in full, or failed', async t => {
  const { client, join, broker } = await startClients(t)
  const sender = client()
  for (const stage of STAGES) {
    const dying = new PollingClient(await join())
    const outcome = text(sender.send('x')).catch(({ code }) => code)
    await dying.receive(message => `${message}!`, (_request, at) => at !== stage).catch(() => null)
    const isTaken = stage !== 'given'
    if (!isTaken) {
      const heir = client()
      const receiving = heir.receive(() => 'from another')
      t.equal(await outcome, 'from another', stage)
      await receiving.stop()
    } else {
      t.equal(await outcome, ['replied', 'ended'].includes(stage) ? 'x!' : 'CHANNEL_RECEIVER_DISCONNECTED', stage)
    }
  }
  await until(() => broker.figures().requests === 0)
})

t.test('a handler is not called before the server knows that the request was accepted', async t => {
  const { client, join, broker } = await startClients(t)
  let calls = 0
  client().receive(() => { calls++ })
  const sender = await join()
  sender.open()
  await sender.next()
  await sender.sync()
  sender.socket.destroy()
  await until(() => broker.figures().claims === 1)
  t.equal(calls, 0, 'its data has not come, as that is sent once the acceptance is known')
  t.equal(await text(client().send('')), '')
  t.equal(calls, 1)
})

t.test('a sender that leaves is heard of by the handler', async t => {
  const { client, join } = await startClients(t)
  const reasons: unknown[] = []
  client().receive(async incoming => { await hang(incoming).catch(error => { reasons.push(error.code) }) })
  const sender = await join()
  const request = sender.open()
  await sender.next()
  sender.send(CHUNK, REQUEST, request, { sequence: 0, payload: 'some' })
  sender.socket.destroy()
  await until(() => reasons.length === 1)
  t.same(reasons, ['CHANNEL_SENDER_DISCONNECTED'])
})

t.test('what the server refuses is told from other failures', async t => {
  const { client, join, broker } = await startClients(t, 'TCP', { maxQueued: 1, maxOperations: 2 })
  const [sender, other] = [client(), client()]
  const first = sender.send('takes the only place')
  await until(() => broker.figures().queued === 1)
  await t.rejects(text(other.send('one too many')), { code: 'CHANNEL_QUEUE_FULL' })
  const receiver = await join()
  const { request, client: senderId } = await given(receiver)
  const second = sender.send('takes the place again')
  await until(() => broker.figures().queued === 1)
  await t.rejects(text(sender.send('more than a client may have')), { code: 'CHANNEL_TOO_MANY_OPERATIONS' })
  receiver.send(CHUNK, RESPONSE, request, { client: senderId, sequence: 5 })
  await t.rejects(text(first), { code: 'CHANNEL_INVALID_FRAME', message: /chunk out of order/ })
  second.destroy()
  const refusals: unknown[] = []
  client().receive(shout, { concurrency: 3, onError: error => refusals.push(error) })
  await until(() => refusals.length === 1)
  t.match(refusals, [{ code: 'CHANNEL_TOO_MANY_OPERATIONS' }])
  t.equal(await text(other.send('by those that were not refused')), 'BY THOSE THAT WERE NOT REFUSED')
})

t.test('two senders may use the same request id', async t => {
  const { client, join } = await startClients(t)
  client().receive(shout, { concurrency: 2 })
  const [one, two] = [await join(), await join()]
  const request = id()
  for (const sender of [one, two]) {
    sender.open(request)
    await sender.next()
  }
  one.ask(request, 'one')
  two.ask(request, 'two')
  t.same(await one.nextTexts(2), ['chunk|response 0 "ONE"', 'chunk|response 1 final ""'])
  t.same(await two.nextTexts(2), ['chunk|response 0 "TWO"', 'chunk|response 1 final ""'])
  for (const sender of [one, two]) {
    sender.done(request)
    t.equal(frameText(await sender.next()), 'end|response')
  }
})

t.test('a receiver that stops leaves no claim behind, however fast requests come', async t => {
  const { client, broker } = await startClients(t)
  const [sender, receiver] = [client(), client()]
  for (let round = 0; round < 20; round++) {
    const replies = Array.from({ length: 50 }, () => text(sender.send('x')))
    const receiving = receiver.receive(shout, { concurrency: 4 })
    await replies[round]
    await receiving.stop()
    t.equal(broker.figures().claims, 0)
    const { queued } = broker.figures()
    const rest = receiver.receive(shout, { concurrency: 4 })
    t.same(new Set(await Promise.all(replies)), new Set(['X']), `${queued} were left for the next`)
    await rest.stop()
  }
  await until(() => broker.figures().requests === 0)
  t.equal(broker.figures().claims, 0)
})

t.test('frames that are of nothing are passed over', async t => {
  const { client, join } = await startClients(t)
  const sender = client()
  const receiver = await join()
  const controller = new AbortController()
  const givenUp = sender.send('given up', { signal: controller.signal })
  const { request, client: senderId } = await given(receiver)
  controller.abort()
  await t.rejects(text(givenUp), { code: 'CHANNEL_ABORTED' })
  receiver.reply(request, await join(), 'late')
  const next = text(sender.send('next'))
  const other = await join()
  const start = await given(other)
  t.not(start.request, request)
  t.equal(start.client, senderId)
  other.send(CHUNK, RESPONSE, start.request, { client: senderId, sequence: FINAL, payload: 'as ever' })
  t.equal(await next, 'as ever')
})
