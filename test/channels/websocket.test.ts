import { once } from 'node:events'
import t from 'tap'
import type { WebSocket } from 'ws'
import { until } from '../support.ts'
import { FakeClock } from './fake-clock.ts'
import { openWs } from './links.ts'
import { RawClient } from './raw-client.ts'
import { CHUNK, FINAL, LIMIT, REQUEST, START, id } from './raw-frames.ts'
import type { WsLink } from './links.ts'
import { accepted, atRest, finishExchange, serveWebSockets, startChannels, works } from './support.ts'

const NIL = '0'.repeat(32)

function webSocketOf (client: RawClient): WebSocket {
  return (client.link as WsLink).ws // all clients here are on one
}

t.test('TCP and WebSocket clients meet in the same channels', async t => {
  const { join } = await startChannels(t)
  const [tcp, ws] = [await join(undefined, undefined, 'TCP'), await join(undefined, undefined, 'WebSocket')]
  await works(t, tcp, ws)
  await works(t, ws, tcp)
  for (const [sender, receiver] of [[tcp, ws], [ws, tcp]] as const) {
    const request = await accepted(sender, receiver)
    for (const sequence of [0, 1, FINAL + 2]) {
      const written = sender.send(CHUNK, REQUEST, request, { sequence, payload: Buffer.alloc(LIMIT, sequence) })
      t.ok((await receiver.next()).bytes.equals(written), `chunk ${sequence}`)
    }
    receiver.reply(request, sender, 'all of it')
    t.same(await sender.nextTexts(2), ['chunk|response 0 "all of it"', 'chunk|response 1 final ""'])
    sender.done(request)
    await receiver.next()
    receiver.over(request, sender)
    await sender.next()
  }
})

t.test('what is not one frame ends the connection: an error frame, then the close code that says why', async t => {
  const { join } = await startChannels(t, {}, undefined, 'WebSocket')
  const chunk = (client: RawClient, request: string, more: object = {}): Buffer => client.bytes({ type: CHUNK, flags: REQUEST, request, sequence: 0, payload: 'x', ...more })
  const cases: Array<[string, (client: RawClient, request: string) => Buffer | string, boolean, number]> = [
    ['a text', () => 'hello', false, 1003],
    ['a text that is a frame', (client, request) => chunk(client, request, { client: '0'.repeat(32) }).toString('latin1').slice(0, 60), false, 1003],
    ['two frames', (client, request) => Buffer.concat([chunk(client, request), chunk(client, request, { sequence: 1 })]), true, 1002],
    ['half a frame', (client, request) => chunk(client, request).subarray(0, 68), true, 1002],
    ['half a header', (client, request) => chunk(client, request).subarray(0, 67), false, 1002],
    ['nothing', () => Buffer.alloc(0), false, 1002],
    ['another version', (client, request) => chunk(client, request, { version: 2 }), false, 1002],
    ['a payload announced that is too large', (client, request) => chunk(client, request, { announced: LIMIT + 1 }), true, 1009]
  ]
  for (const [what, make, isNamed, code] of cases) {
    const [sender, receiver] = [await join(), await join()]
    const request = await accepted(sender, receiver)
    // One after it, in the same write, is not read any more.
    sender.socket.cork()
    webSocketOf(sender).send(make(sender, request))
    sender.write(chunk(sender, request))
    sender.socket.uncork()
    t.match(await sender.nextError(), { request: isNamed ? request : NIL, client: sender.id }, what)
    await sender.closed()
    t.same([sender.received, sender.link.closeCode], [[], code], what)
    t.equal((await receiver.nextError()).request, request)
    t.ok(await receiver.isQuiet())
  }
})

t.test('before a connection has said who it is, the same', async t => {
  const { join } = await startChannels(t, {}, undefined, 'WebSocket')
  for (const [message, code] of [['hello', 1003], [Buffer.from('hello'), 1002], [Buffer.alloc(0), 1002]] as const) {
    const client = await join()
    webSocketOf(client).send(message)
    t.match(await client.nextError(), { request: NIL, client: NIL })
    await client.closed()
    t.equal(client.link.closeCode, code)
  }
})

t.test('what came before it is dealt with', async t => {
  const { join } = await startChannels(t, {}, undefined, 'WebSocket')
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  sender.socket.cork()
  for (let sequence = 0; sequence < 20; sequence++) sender.send(CHUNK, REQUEST, request, { sequence, payload: 'x' })
  webSocketOf(sender).send('hello')
  sender.socket.uncork()
  for (let sequence = 0; sequence < 20; sequence++) t.equal((await receiver.next()).index, sequence)
  await receiver.nextError()
})

t.test('a message larger than any frame is not read', async t => {
  const { join, broker } = await startChannels(t, {}, undefined, 'WebSocket')
  for (const isFragmented of [false, true]) {
    const [sender, receiver] = [await join(), await join()]
    const request = await accepted(sender, receiver)
    if (isFragmented) sender.writePart(Buffer.alloc(LIMIT))
    sender.link.send(Buffer.alloc(isFragmented ? 69 : LIMIT + 69), true)
    await sender.closed()
    t.equal(sender.link.closeCode, 1009)
    t.equal((await receiver.nextError()).request, request)
    receiver.socket.destroy()
    await until(() => broker.figures().connections === 0)
  }
})

t.test('bytes that are no WebSocket stream end the connection, and the other side hears of it at once', async t => {
  const { join, broker } = await startChannels(t, { closeMs: 60_000 }, undefined, 'WebSocket')
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  // Not masked.
  sender.socket.write(Buffer.of(0x82, 1, 0))
  sender.socket.pause()
  await until(() => broker.figures().clients === 1)
  t.equal((await receiver.nextError()).request, request)
  sender.socket.resume()
  await sender.closed()
  t.equal(sender.link.closeCode, 1002)
})

t.test('pieces without end are not kept', async t => {
  const { join } = await startChannels(t, {}, undefined, 'WebSocket')
  const client = await join()
  client.socket.cork()
  for (let n = 0; n < 20_000; n++) client.writePart(Buffer.of(1))
  client.socket.uncork()
  await client.closed()
  t.equal(client.link.closeCode, 1008)
})

t.test('a message in fragments is one frame, whatever control frames come between them', async t => {
  const { join } = await startChannels(t, {}, undefined, 'WebSocket')
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  const frame = sender.bytes({ type: CHUNK, flags: REQUEST, request, sequence: 0, payload: 'in parts' })
  sender.writePart(frame.subarray(0, 30))
  const ponged = once(webSocketOf(sender), 'pong')
  webSocketOf(sender).ping('are you there')
  t.equal(String((await ponged)[0]), 'are you there')
  sender.writePart(Buffer.alloc(0))
  sender.link.send(frame.subarray(30), true)
  t.ok((await receiver.next()).bytes.equals(frame))
})

t.test('a peer that says goodbye has left at once, also if it does not close', async t => {
  const { join, broker } = await startChannels(t, { closeMs: 60_000 }, undefined, 'WebSocket')
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  // A masked close frame with code 1000.
  sender.socket.write(Buffer.of(0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8))
  sender.socket.pause()
  await until(() => broker.figures().clients === 1)
  t.equal((await receiver.nextError()).request, request)
  sender.socket.resume()
  await sender.closed()
  t.equal(sender.link.closeCode, 1000, 'and is answered')
})

t.test('nothing is compressed', async t => {
  const { url } = await startChannels(t)
  const { ws } = openWs(t, url)
  await once(ws, 'open')
  t.equal(ws.extensions, '')
})

t.test('a message that has begun is to end in time, pings or not', async t => {
  const clock = new FakeClock()
  const { join } = await startChannels(t, {}, clock, 'WebSocket')
  const [slow, other] = [await join(), await join()]
  const long = { timeoutMs: 10_000_000 }
  other.claim(undefined, long)
  await other.sync()
  const request = slow.open(undefined, long)
  t.equal((await other.next()).request, request)
  const whole = slow.bytes({ type: CHUNK, flags: REQUEST, request, sequence: 0, payload: 'x' })
  const ping = async (): Promise<void> => {
    const ponged = once(webSocketOf(slow), 'pong')
    webSocketOf(slow).ping()
    await ponged
  }
  await ping()
  clock.advance(1_000_000)
  t.ok(await other.isQuiet(), 'without one it may be idle')
  // The beginning of the second comes together with the first.
  slow.socket.cork()
  slow.write(whole)
  slow.writePart(whole.subarray(0, 40))
  slow.socket.uncork()
  await other.next()
  clock.advance(119_999)
  slow.writePart(whole.subarray(40, 41))
  await ping()
  t.notOk(slow.isClosed)
  clock.advance(1)
  await slow.closed()
  t.equal(slow.link.closeCode, 1008)
  await other.nextError()
})

t.test('a peer that does not say that it is there is let go; there is a timer only while there are peers', async t => {
  const { broker } = await startChannels(t)
  const clock = new FakeClock()
  const url = await serveWebSockets(t, broker, clock)
  t.equal(clock.timers.size, 0)
  const channel = id()
  const [alive, silent] = [await RawClient.connectWs(t, url, channel), await RawClient.connectWs(t, url, channel)]
  t.equal(clock.timers.size, 1)
  const request = await accepted(silent, alive)
  silent.socket.pause()
  for (let round = 0; round < 2; round++) {
    const pinged = once(webSocketOf(alive), 'ping')
    clock.advance(30_000)
    await pinged
    // Behind its pong.
    await alive.sync()
  }
  t.equal(broker.figures().connections, 2)
  clock.advance(30_000)
  t.equal((await alive.nextError()).request, request)
  await until(() => broker.figures().connections === 1)
  alive.socket.destroy()
  await until(() => clock.timers.size === 0)
})

t.test('a peer whose answer we do not read, as it is held up, is not taken for silent', async t => {
  const { broker, join, home } = await startChannels(t, { stallMs: 60_000, maxPendingBytes: 65_536 })
  const clock = new FakeClock()
  const url = await serveWebSockets(t, broker, clock)
  const [sender, receiver] = [await RawClient.connectWs(t, url, home), await join()]
  const request = await accepted(sender, receiver)
  receiver.socket.pause()
  for (let sequence = 0; sequence < 16; sequence++) sender.send(CHUNK, REQUEST, request, { sequence, payload: Buffer.alloc(LIMIT) })
  await atRest(() => broker.tally.frames)
  for (let round = 0; round < 5; round++) clock.advance(30_000)
  receiver.socket.resume()
  for (let sequence = 0; sequence < 16; sequence++) t.equal((await receiver.next()).index, sequence)
  clock.advance(30_000)
  t.ok(await sender.isQuiet())
})

t.test('when the service stops every live operation hears of it, and then the connections are closed as going away', async t => {
  const { broker, join } = await startChannels(t, {}, undefined, 'WebSocket')
  const [sender, receiver, idle] = [await join(), await join(), await join()]
  const request = await accepted(sender, receiver)
  const claim = idle.claim()
  await idle.sync()
  const closing = broker.close()
  for (const [client, operation] of [[sender, request], [receiver, request], [idle, claim]] as const) {
    t.equal((await client.nextError()).request, operation)
    await client.closed()
    t.same([client.received, client.link.closeCode], [[], 1001])
  }
  await closing
  const late = await join()
  await late.closed()
  t.equal(late.link.closeCode, 1001)
})

t.test('a peer that does not answer the close is cut off', async t => {
  const { broker, join } = await startChannels(t, { closeMs: 100 }, undefined, 'WebSocket')
  const client = await join()
  client.open(undefined)
  await client.sync()
  client.socket.pause()
  await broker.close()
  t.equal(broker.figures().connections, 0)
})

t.test('an exchange goes on while others misbehave', async t => {
  const { join } = await startChannels(t, {}, undefined, 'WebSocket')
  const [sender, receiver, other] = [await join(), await join(), await join()]
  const request = await accepted(sender, receiver)
  other.send(START, REQUEST, id())
  webSocketOf(other).send('hello')
  await other.closed()
  await finishExchange(t, sender, receiver, request)
})
