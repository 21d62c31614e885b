import { connect } from 'node:net'
import { until } from '../support.ts'
import { CHUNK, END, ERROR, FINAL, LIMIT, RECEIVE, REQUEST, RESPONSE, START, id } from './raw-frames.ts'
import { accepted, finishExchange, overEach, works } from './support.ts'

const NIL = '0'.repeat(32)

overEach('a payload too large ends its connection when it is announced; the other side hears of it and goes on', async (t, start) => {
  const { join } = await start()
  const [sender, receiver, other] = [await join(), await join(), await join()]
  const request = await accepted(sender, receiver)
  sender.send(CHUNK, REQUEST, request, { sequence: 0, announced: LIMIT + 1, payload: 'the beginning of it' })
  t.match(await sender.nextError(), { request, client: sender.id })
  await sender.closed()
  t.same(sender.received, [])
  t.equal((await receiver.nextError()).request, request)
  await works(t, other, receiver)
})

overEach('another version ends its connection at the first byte, whatever comes after it', async (t, start) => {
  const { join } = await start()
  const [first, sender, receiver] = [await join(), await join(), await join()]
  first.write(Buffer.of(2))
  t.equal((await first.nextError()).request, NIL)
  await first.closed()
  const request = await accepted(sender, receiver)
  sender.write(sender.bytes({ version: 2, type: END, flags: REQUEST, request }))
  for (let n = 0; n < 3; n++) sender.write(Buffer.alloc(1_000_000))
  t.match(await sender.nextError(), { request: NIL, client: sender.id }, 'it arrives although the rest is not read')
  await sender.closed()
  t.equal((await receiver.nextError()).request, request)
})

overEach('unknown types and roles are answered each; the exchange that runs goes on', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  const bad = [[9, REQUEST], [ERROR, REQUEST], [0, REQUEST], [START, 0], [CHUNK, REQUEST | RESPONSE], [CHUNK, RECEIVE | RESPONSE], [CHUNK, 2], [END, REQUEST | 0x8000]] as const
  for (const [type, flags] of bad) {
    const failed = id()
    sender.send(type, flags, failed, { payload: 'with data' })
    t.match(await sender.nextError(), { request: failed, client: sender.id, channel: sender.channel }, `type ${type}, flags ${flags}`)
  }
  await finishExchange(t, sender, receiver, request)
  t.ok(await receiver.isQuiet())
})

overEach('a first frame must say who its writer is', async (t, start) => {
  const { join, broker } = await start()
  const request = id()
  const bad = [{ type: 9 }, { type: ERROR }, { flags: 0 }, { flags: RESPONSE }, { client: NIL }, { channel: NIL }, { request: NIL }]
  for (const fault of bad) {
    const client = await join()
    client.write(client.bytes({ type: START, flags: REQUEST, request, ...fault }))
    await client.nextError()
    await client.closed()
    t.same(client.received, [], JSON.stringify(fault))
  }
  t.equal(broker.figures().clients, 0)
})

overEach('a client id can be used by one connection at a time, and the first one keeps it', async (t, start) => {
  const { join, broker } = await start()
  const [receiver, sender] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  for (const channel of [receiver.channel, id()]) {
    const second = await join(channel, receiver.id)
    const claim = second.claim()
    t.equal((await second.nextError()).request, claim)
    await second.closed()
  }
  await finishExchange(t, sender, receiver, request)
  receiver.socket.destroy()
  await until(() => broker.figures().clients === 1)
  await works(t, sender, await join(undefined, receiver.id))
})

overEach('frames in the name of another client or for another channel are refused', async (t, start) => {
  const { join } = await start()
  const [sender, receiver, other] = [await join(), await join(), await join()]
  const request = await accepted(sender, receiver)
  const foreign = [
    other.send(CHUNK, REQUEST, request, { client: sender.id, sequence: 0, payload: 'not of the sender' }),
    other.send(START, RECEIVE, id(), { client: sender.id }),
    other.send(START, REQUEST, id(), { channel: id() }),
    other.send(CHUNK, RESPONSE, request, { client: sender.id, channel: id(), sequence: 0, payload: 'x' })
  ]
  // The first of them was its first frame: it is now known as the sender, which is known already.
  await other.nextError()
  await other.closed()
  const registered = await join()
  registered.claim(undefined, { channel: registered.channel })
  for (const bytes of foreign) {
    registered.write(bytes)
    await registered.nextError()
  }
  await finishExchange(t, sender, receiver, request)
  for (const client of [sender, receiver, registered]) t.ok(await client.isQuiet())
})

overEach('responses of somebody who does not have the request are dropped without a word', async (t, start) => {
  const { join } = await start()
  const [sender, receiver, other] = [await join(), await join(), await join()]
  other.claim()
  await other.sync()
  const theirs = sender.open()
  t.equal((await other.next()).request, theirs)
  const request = await accepted(sender, receiver)
  other.accept(request, sender)
  other.reply(request, sender, 'foreign')
  other.over(request, sender)
  other.reply(id(), sender, 'of no request')
  other.over(id(), receiver)
  t.ok(await other.isQuiet())
  t.ok(await sender.isQuiet())
  await finishExchange(t, sender, receiver, request)
  receiver.over(request, sender)
  receiver.reply(request, sender, 'late')
  t.ok(await receiver.isQuiet())
  t.ok(await sender.isQuiet())
})

overEach('data of a request that nobody has yet ends the request', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  for (const type of [CHUNK, END]) {
    const request = sender.open()
    sender.send(type, REQUEST, request, { sequence: FINAL })
    t.equal((await sender.nextError()).request, request)
    sender.ask(request, 'more')
    t.ok(await sender.isQuiet())
  }
  receiver.claim()
  t.ok(await receiver.isQuiet(), 'and nobody is given it later')
})

overEach('chunks out of order, a second start, an end too early: both hear of it once and can go on', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  const faults: Array<(request: string) => void> = [
    request => { sender.send(CHUNK, REQUEST, request, { sequence: 3, payload: 'x' }) },
    request => { sender.open(request) },
    request => { sender.done(request) },
    request => { sender.send(START, REQUEST, request, { payload: 'x' }) },
    request => { sender.send(END, REQUEST, request, { payload: 'x' }) },
    request => { receiver.send(CHUNK, RESPONSE, request, { client: sender.id, sequence: FINAL + 1 }) },
    request => { receiver.send(END, RESPONSE, request, { client: sender.id, payload: 'x' }) }
  ]
  for (const [place, fault] of faults.entries()) {
    const request = await accepted(sender, receiver)
    fault(request)
    t.equal((await sender.nextError()).request, request, `fault ${place}`)
    t.equal((await receiver.nextError()).request, request)
    sender.ask(request, 'late')
    receiver.reply(request, sender, 'late')
    t.ok(await sender.isQuiet())
    t.ok(await receiver.isQuiet())
  }
  await works(t, sender, receiver)
})

overEach('a chunk after the final one ends the request; after its end the receiver is left alone', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  for (const isDone of [false, true]) {
    const request = await accepted(sender, receiver)
    sender.send(CHUNK, REQUEST, request, { sequence: FINAL })
    if (isDone) sender.done(request)
    sender.send(CHUNK, REQUEST, request, { sequence: FINAL + 1 })
    t.equal((await sender.nextError()).request, request)
    t.same(await receiver.nextTexts(2), ['chunk|request 0 final ""', isDone ? 'end|request' : 'error'])
    t.ok(await receiver.isQuiet())
  }
  await works(t, sender, receiver)
})

overEach('an end of the receiver before its reply, or before the sender\'s, is told to the sender alone', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  for (const hasReplied of [false, true]) {
    const request = await accepted(sender, receiver)
    if (hasReplied) receiver.send(CHUNK, RESPONSE, request, { client: sender.id, sequence: FINAL })
    receiver.over(request, sender)
    if (hasReplied) await sender.next()
    t.equal((await sender.nextError()).request, request)
    t.ok(await receiver.isQuiet())
  }
  await works(t, sender, receiver)
})

overEach('frames of a request that was never opened are answered once, late ones of an ended one never', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  const request = id()
  sender.send(CHUNK, REQUEST, request, { sequence: 0, payload: 'x' })
  sender.send(CHUNK, REQUEST, request, { sequence: FINAL + 1 })
  sender.done(request)
  t.equal((await sender.nextError()).request, request)
  t.ok(await sender.isQuiet())
  const finished = await accepted(sender, receiver)
  await finishExchange(t, sender, receiver, finished)
  sender.ask(finished, 'late')
  sender.done(finished)
  t.ok(await sender.isQuiet())
  t.ok(await receiver.isQuiet())
})

overEach('starts and ends with a payload are refused and not queued', async (t, start) => {
  const { join, broker } = await start()
  const [sender, receiver] = [await join(), await join()]
  const request = sender.open(undefined, { payload: 'x'.repeat(100_000) })
  t.equal((await sender.nextError()).request, request)
  sender.ask(request, 'what follows')
  t.ok(await sender.isQuiet())
  const claim = receiver.claim(undefined, { payload: 'x' })
  t.equal((await receiver.nextError()).request, claim)
  receiver.send(END, RECEIVE, claim, { payload: 'x' })
  t.equal((await receiver.nextError()).request, claim)
  t.match(broker.figures(), { queued: 0, claims: 0 })
  await works(t, sender, receiver)
})

overEach('a claim made twice is withdrawn', async (t, start) => {
  const { join, broker } = await start()
  const receiver = await join()
  const claim = receiver.claim()
  receiver.claim(claim)
  t.equal((await receiver.nextError()).request, claim)
  t.ok(await receiver.isQuiet())
  t.equal(broker.figures().claims, 0)
})

overEach('a second acceptance is not handed on', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  receiver.accept(request, sender)
  t.ok(await receiver.isQuiet())
  t.ok(await sender.isQuiet())
  await finishExchange(t, sender, receiver, request)
})

overEach('something that does not speak the protocol at all is shown out', async (t, start) => {
  const { port, broker } = await start()
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  t.equal(Buffer.concat(chunks)[1], ERROR)
  socket.destroy()
  await until(() => broker.figures().connections === 0)
})
