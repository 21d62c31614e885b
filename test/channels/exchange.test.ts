import { createHash, randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { RawClient } from './raw-client.ts'
import { CHUNK, END, FINAL, LIMIT, RECEIVE, REQUEST, RESPONSE, START, id, text } from './raw-frames.ts'
import type { Hex, Received } from './raw-frames.ts'
import { accepted, finishExchange, overEach, take, works } from './support.ts'

overEach('a request goes to the receiver that has claimed one, and its reply comes back in order', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  await works(t, sender, receiver)
  await works(t, sender, receiver)
})

overEach('a request without a receiver waits for one, and its sender hears nothing meanwhile', async (t, start) => {
  const { join } = await start()
  const sender = await join()
  const request = sender.open()
  t.ok(await sender.isQuiet())
  const receiver = await join()
  receiver.claim()
  await take(sender, receiver, request)
  await finishExchange(t, sender, receiver, request)
})

overEach('a claim without a request waits for one', async (t, start) => {
  const { join } = await start()
  const receiver = await join()
  receiver.claim()
  t.ok(await receiver.isQuiet())
  const sender = await join()
  const request = sender.open()
  await take(sender, receiver, request)
  await finishExchange(t, sender, receiver, request)
})

overEach('frames are handed on byte for byte, the start and its acceptance once', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  const request = id()
  receiver.claim()
  await receiver.sync()
  const written = [sender.send(START, REQUEST, request, { timeoutMs: 4321 }), sender.send(CHUNK, REQUEST, request, { sequence: FINAL, payload: 'ein Ü', timeoutMs: 7 })]
  t.same([(await receiver.next()).bytes, (await receiver.next()).bytes], written)
  const answer = [receiver.accept(request, sender), receiver.send(CHUNK, RESPONSE, request, { client: sender.id, sequence: FINAL, payload: randomBytes(100), timeoutMs: 0 })]
  t.same([(await sender.next()).bytes, (await sender.next()).bytes], answer)
  const end = sender.send(END, REQUEST, request)
  t.same((await receiver.next()).bytes, end)
  const over = receiver.send(END, RESPONSE, request, { client: sender.id })
  t.same((await sender.next()).bytes, over)
  t.ok(await sender.isQuiet())
  t.ok(await receiver.isQuiet())
})

overEach('polls are taken for what they are: they neither claim nor hold up anything', async (t, start) => {
  const { join } = await start()
  const [sender, other, receiver] = [await join(), await join(), await join()]
  const claim = receiver.claim()
  const request = sender.open()
  await take(sender, receiver, request)
  const waiting = other.open()
  await other.sync()
  for (let poll = 0; poll < 3; poll++) receiver.send(CHUNK, RECEIVE, claim)
  receiver.send(END, RECEIVE, claim)
  t.ok(await receiver.isQuiet(), 'the other request was not taken by them')
  await finishExchange(t, sender, receiver, request)
  t.ok(await other.isQuiet())
  receiver.claim()
  await take(other, receiver, waiting)
  await finishExchange(t, other, receiver, waiting)
})

overEach('another receiver sees nothing of an exchange', async (t, start) => {
  const { join } = await start()
  const [sender, receiver, idle] = [await join(), await join(), await join()]
  const request = await accepted(sender, receiver)
  idle.claim()
  await idle.sync()
  await finishExchange(t, sender, receiver, request)
  t.ok(await idle.isQuiet())
})

overEach('messages of any length arrive whole: none, one frame\'s limit, many frames', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  for (const length of [0, LIMIT, 5 * LIMIT]) {
    const request = await accepted(sender, receiver)
    const question = randomBytes(length)
    const answer = randomBytes(length)
    send(sender, REQUEST, request, question, sender)
    await sameMessage(t, receiver, question)
    send(receiver, RESPONSE, request, answer, sender)
    await sameMessage(t, sender, answer)
    sender.done(request)
    t.same(await receiver.nextTexts(1), ['end|request'])
    receiver.over(request, sender)
    t.same(await sender.nextTexts(1), ['end|response'])
  }
})

/** In chunks of the largest size, then an empty final one. */
function send (writer: RawClient, flags: number, request: Hex, message: Buffer, sender: RawClient): void {
  let index = 0
  for (let at = 0; at < message.length; at += LIMIT) writer.send(CHUNK, flags, request, { client: sender.id, sequence: index++, payload: message.subarray(at, at + LIMIT) })
  writer.send(CHUNK, flags, request, { client: sender.id, sequence: FINAL + index })
}

async function sameMessage (t: Test, reader: RawClient, message: Buffer): Promise<void> {
  const chunks: Received[] = []
  do chunks.push(await reader.next()); while (chunks.at(-1)?.isFinal === false)
  t.same(chunks.map(({ index }) => index), chunks.map((_, place) => place), 'indices from 0 on')
  t.equal(hash(Buffer.concat(chunks.map(({ payload }) => payload))), hash(message), `${message.length} bytes`)
}

function hash (bytes: Buffer): string {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`
}

overEach('how writes cut the stream does not matter', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  receiver.claim()
  await receiver.sync()
  const request = id()
  const frame = sender.bytes({ type: START, flags: REQUEST, request })
  for (const [place, byte] of frame.entries()) {
    await new Promise<void>(resolve => { sender.link.send(Buffer.of(byte), place === frame.length - 1, () => { setImmediate(resolve) }) })
  }
  await take(sender, receiver, request)
  sender.write(Buffer.concat([0, 1].map(sequence => sender.bytes({ type: CHUNK, flags: REQUEST, request, sequence, payload: `part ${sequence}` }))))
  t.same(await receiver.nextTexts(2), ['chunk|request 0 "part 0"', 'chunk|request 1 "part 1"'])
})

overEach('one connection can have several requests under way, and they go separate ways', async (t, start) => {
  const { join } = await start()
  const [sender, x, y] = [await join(), await join(), await join()]
  const first = await accepted(sender, x)
  const second = await accepted(sender, y)
  sender.ask(second, 'for y')
  sender.ask(first, 'for x')
  t.equal(text(await y.next()), 'chunk|request 0 "for y"')
  t.equal(text(await x.next()), 'chunk|request 0 "for x"')
  x.reply(first, sender, 'of x')
  await x.sync()
  y.reply(second, sender, 'of y')
  t.same([(await sender.next()).request, (await sender.next()).request, (await sender.next()).request], [first, first, second])
})

overEach('two senders may use the same request id', async (t, start) => {
  const { join } = await start()
  const [one, two, x, y] = [await join(), await join(), await join(), await join()]
  const request = id()
  x.claim()
  await x.sync()
  one.open(request)
  await take(one, x, request)
  y.claim()
  await y.sync()
  two.open(request)
  await take(two, y, request)
  await finishExchange(t, two, y, request)
  await finishExchange(t, one, x, request)
})

overEach('a sender may say that it is done before the reply', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  sender.send(CHUNK, REQUEST, request, { sequence: FINAL, payload: 'x' })
  sender.done(request)
  t.same(await receiver.nextTexts(2), ['chunk|request 0 final "x"', 'end|request'])
  receiver.send(CHUNK, RESPONSE, request, { client: sender.id, sequence: FINAL, payload: 'y' })
  receiver.over(request, sender)
  t.same(await sender.nextTexts(2), ['chunk|response 0 final "y"', 'end|response'])
})

overEach('data sent before the acceptance reaches the receiver that has the request', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  receiver.claim()
  await receiver.sync()
  const request = sender.open()
  sender.ask(request, 'early')
  t.same(await receiver.nextTexts(3), ['start|request', 'chunk|request 0 "early"', 'chunk|request 1 final ""'])
})
