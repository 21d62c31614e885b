import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { IncomingRequest } from '../../services/client/served-request.ts'
import { until } from '../support.ts'
import { echo, everyWay, hang, shout, startClients } from './client-support.ts'

const MIB = 1024 * 1024

async function * endlessReply (signal: AbortSignal): AsyncGenerator<string> {
  yield 'r'
  await hang({ signal })
}

everyWay(t, 'a request goes to a receiver and its reply comes back', async (t, way) => {
  const { client, isEmpty } = await startClients(t, way)
  const [sender, receiver] = [client(), client()]
  const receiving = receiver.receive(shout)
  t.equal(await text(sender.send('hello')), 'HELLO')
  t.equal(await text(sender.send('again')), 'AGAIN')
  await receiving.stop()
  await Promise.all([sender.close(), receiver.close()])
  t.same([sender.state, receiver.state], ['closed', 'closed'])
  await until(isEmpty)
})

everyWay(t, 'messages of every form and length arrive whole', async (t, way) => {
  const { client } = await startClients(t, way)
  const [sender, receiver] = [client(), client()]
  receiver.receive(echo)
  const large = randomBytes(5 * MIB)
  async function * pieces (): AsyncGenerator<string | Uint8Array> {
    yield 'ab'
    yield ''
    await turn()
    yield new Uint8Array([99, 100])
  }
  t.equal(await text(sender.send('')), '')
  t.equal(await text(sender.send(Readable.from([]))), '')
  t.equal(await text(sender.send('grüße')), 'grüße')
  t.equal(await text(sender.send(pieces())), 'abcd')
  t.equal(await text(sender.send(Readable.from(['x', Buffer.from('y')]))), 'xy')
  t.equal(await text(sender.send(new Blob(['of the web']).stream())), 'of the web')
  t.ok(large.equals(await buffer(sender.send(large))))
  t.ok(large.equals(await buffer(sender.send(Readable.from([large.subarray(0, 3), large.subarray(3)])))))
})

everyWay(t, 'a reply may be anything, or nothing', async (t, way) => {
  const { client } = await startClients(t, way)
  const replies = ['text', Buffer.from('bytes'), Readable.from(['a ', 'stream']), undefined, '']
  client().receive(() => replies.shift())
  const sender = client()
  const got: string[] = []
  for (let n = 0; n < 5; n++) got.push(await text(sender.send('not read')))
  t.same(got, ['text', 'bytes', 'a stream', '', ''])
})

everyWay(t, 'a reply can begin before the request has ended', async (t, way) => {
  const { client } = await startClients(t, way)
  client().receive(echo)
  const source = new Readable({ read () {} })
  const reply = client().send(source)
  source.push('first')
  const [first] = await once(reply, 'data') as [Buffer]
  t.equal(first.toString(), 'first')
  reply.pause()
  source.push('second')
  source.push(null)
  t.equal(await text(reply), 'second')
})

everyWay(t, 'any number of requests and replies in both directions share a connection', async (t, way) => {
  const { client, broker } = await startClients(t, way)
  const [one, two] = [client(), client()]
  one.receive(shout, { concurrency: 5 })
  two.receive(async ({ request }) => `${await text(request)}!`, { concurrency: 7 })
  const sent = Array.from({ length: 200 }, (_, n) => `m${n}`)
  t.same(await Promise.all(sent.map(async message => await text(two.send(message)))), sent.map(message => message.toUpperCase()))
  t.same(await Promise.all(sent.map(async message => await text(one.send(message)))), sent.map(message => `${message}!`))
  const mixed = await Promise.all(sent.flatMap(message => [text(one.send(message)), text(two.send(message))]))
  t.same(mixed, sent.flatMap(message => [`${message}!`, message.toUpperCase()]))
  t.equal(broker.figures().connections, 2)
})

everyWay(t, 'as many requests are served at a time as are wanted, and no more are claimed', async (t, way) => {
  const { client, broker } = await startClients(t, way)
  const held: Array<() => void> = []
  const receiving = client().receive(async () => { await new Promise<void>(resolve => held.push(resolve)) }, { concurrency: 3 })
  const sender = client()
  const replies = Array.from({ length: 5 }, () => text(sender.send('x')))
  await until(() => held.length === 3 && broker.figures().queued === 2)
  t.equal(broker.figures().claims, 0)
  held.shift()?.()
  await until(() => held.length === 3 && broker.figures().queued === 1)
  const stopped = receiving.stop()
  while (held.length > 0) held.shift()?.()
  await stopped
  t.equal(broker.figures().queued, 1, 'what nobody has claimed waits for another')
  client().receive(shout)
  t.same((await Promise.all(replies)).sort(), ['', '', '', '', 'X'])
})

everyWay(t, 'a handler that fails tells the sender that it has, and the next request is served', async (t, way) => {
  const { client } = await startClients(t, way)
  const thrown = new Error('thrown')
  const ofTheStream = new Error('of the stream')
  const seen: unknown[] = []
  async function * broken (): AsyncGenerator<string> {
    yield 'some'
    throw ofTheStream
  }
  let count = 0
  client().receive(({ request }) => {
    count++
    if (count === 1) throw thrown
    if (count === 2) return broken()
    if (count === 3) return 7 as unknown as string
    return request
  }, { onError: error => { seen.push(error) } })
  const sender = client()
  for (let n = 0; n < 3; n++) await t.rejects(text(sender.send('x')), { name: 'ChannelError', code: 'CHANNEL_RECEIVER_FAILED' })
  t.equal(await text(sender.send('well')), 'well')
  t.match(seen, [thrown, { code: 'CHANNEL_BODY_FAILED', cause: ofTheStream }, { code: 'CHANNEL_BODY_INVALID', message: /number/ }])
  t.equal(seen.length, 3)
})

everyWay(t, 'a handler is told the time there is, and when nobody waits any more', async (t, way) => {
  const { client, broker } = await startClients(t, way)
  const served: IncomingRequest[] = []
  const reasons: unknown[] = []
  client().receive(async incoming => {
    served.push(incoming)
    await hang(incoming)
  }, { onError: error => { reasons.push(error) } })
  const controller = new AbortController()
  const reply = text(client().send('x', { timeoutMs: 45_000, signal: controller.signal }))
  await until(() => served.length === 1)
  const { timeoutMs = 0 } = served[0] ?? {}
  t.ok(timeoutMs > 30_000 && timeoutMs <= 45_000, `${timeoutMs} ms, less those that connecting took`)
  t.notOk(served[0]?.signal.aborted)
  controller.abort(new Error('changed my mind'))
  await t.rejects(reply, { code: 'CHANNEL_ABORTED', cause: { message: 'changed my mind' } })
  await until(() => served[0]?.signal.aborted === true)
  t.match(served[0]?.signal.reason, { code: 'CHANNEL_SENDER_ABORTED' })
  await t.rejects(text(served[0]?.request ?? Readable.from([])), { code: 'CHANNEL_SENDER_ABORTED' })
  t.same(reasons, [], 'that is no fault of the handler')
  await until(() => broker.figures().claims === 1)
})

everyWay(t, 'a request that is not answered in time fails, at each stage', async (t, way) => {
  const { client, broker } = await startClients(t, way)
  const [sender, receiver] = [client(), client()]
  await t.rejects(text(sender.send('nobody claims it', { timeoutMs: 50 })), { code: 'CHANNEL_TIMEOUT' })
  const stages: string[] = []
  receiver.receive(async ({ request, signal }) => {
    for await (const piece of request) {
      stages.push(String(piece))
      if (String(piece) === 'reply begins') return endlessReply(signal)
    }
    await hang({ signal })
  })
  const endless = new Readable({ read () {} })
  endless.push('no end')
  await t.rejects(text(sender.send(endless, { timeoutMs: 200 })), { code: 'CHANNEL_TIMEOUT' })
  t.ok(endless.destroyed, 'what it was read from is let go of')
  await t.rejects(text(sender.send('no reply', { timeoutMs: 200 })), { code: 'CHANNEL_TIMEOUT' })
  await t.rejects(text(sender.send('reply begins', { timeoutMs: 200 })), { code: 'CHANNEL_TIMEOUT' })
  t.same(stages, ['no end', 'no reply', 'reply begins'])
  await until(() => broker.figures().requests === 0 && broker.figures().claims === 1)
})

everyWay(t, 'a request can be given up at each stage', async (t, way) => {
  const { client, broker } = await startClients(t, way)
  const [sender, receiver] = [client(), client()]
  const gone = AbortSignal.abort(new Error('before it began'))
  await t.rejects(text(sender.send('x', { signal: gone })), { code: 'CHANNEL_ABORTED', cause: gone.reason })

  const queued = sender.send('waits for a receiver')
  await until(() => broker.figures().queued === 1)
  queued.destroy()
  await until(() => broker.figures().requests === 0)

  let begun = 0
  receiver.receive(({ signal }) => {
    begun++
    return endlessReply(signal)
  })
  const source = new Readable({ read () {} })
  source.push('some')
  const sending = sender.send(source)
  sending.resume()
  await until(() => begun === 1)
  sending.destroy(new Error('own'))
  await until(() => broker.figures().requests === 0 && source.destroyed)

  const reply = sender.send('left in the middle of its reply')[Symbol.asyncIterator]()
  t.match(await reply.next(), { value: Buffer.from('r') })
  await reply.return?.()
  await until(() => broker.figures().requests === 0 && broker.figures().claims === 1)
  t.equal(begun, 2)
})

everyWay(t, 'a source that fails ends the request, whenever it does', async (t, way) => {
  const { client, broker } = await startClients(t, way)
  const sender = client()
  const early = new Readable({ read () {} })
  const reply = text(sender.send(early))
  await until(() => broker.figures().queued === 1)
  early.destroy(new Error('cannot be read'))
  await t.rejects(reply, { code: 'CHANNEL_BODY_FAILED', message: /cannot be read/, cause: { message: 'cannot be read' } })
  client().receive(async ({ request }) => `${(await buffer(request)).length}`)
  async function * broken (): AsyncGenerator<string> {
    yield 'some'
    throw new Error('half way')
  }
  await t.rejects(text(sender.send(broken())), { code: 'CHANNEL_BODY_FAILED', message: /half way/ })
  await t.rejects(text(sender.send((async function * () { yield 5 as unknown as string })())), { code: 'CHANNEL_BODY_INVALID' })
  t.throws(() => sender.send(undefined as unknown as string), { code: 'CHANNEL_BODY_INVALID', field: 'body' })
  t.equal(await text(sender.send('abc')), '3')
})
