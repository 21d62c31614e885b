import { once } from 'node:events'
import { connect } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import regent from '../../index.ts'
import { createDatabase, until } from '../support.ts'
import { HttpChannel, startHttpChannel, textOf, whole } from './http-peer.ts'
import { RESPONSE, START } from './raw-frames.ts'

t.test('who leaves over HTTP', async t => {
  const home = await startHttpChannel(t)
  const { service } = home
  const tally = () => service.channels().broker.tally
  t.afterEach(async () => { await home.isEmpty() })

  t.test('a sender whose request waits takes it along', async t => {
    const before = tally().senderLeft
    const asked = home.ask('hello')
    await home.waiting('queued', 1)
    asked.outgoing.destroy()
    await home.waiting('queued', 0)
    t.equal(tally().senderLeft, before + 1)
    t.equal((await whole(home.next(''))).status, 204)
  })

  t.test('a sender whose request was accepted: the receiver hears of it', async t => {
    const raw = await home.raw(t)
    raw.claim()
    const asked = home.ask('hello')
    const { request, client } = await raw.next()
    raw.send(START, RESPONSE, request, { client })
    await raw.nextTexts(2)
    asked.outgoing.destroy()
    const error = await raw.nextError()
    t.match({ request: error.request, text: error.payload.toString() }, { request, text: 'sender disconnected' })
    raw.socket.destroy()
  })

  t.test('a sender in the middle of its request: what the receiver reads is cut', async t => {
    const asked = home.call('POST', home.path)
    asked.outgoing.write('hel')
    const taken = await home.taken()
    await once(taken.answer, 'readable')
    asked.outgoing.destroy()
    await t.rejects(textOf(taken.answer), { code: 'ECONNRESET' })
    t.equal((await whole(home.reply(taken, 'x'))).status, 404)
  })

  t.test('a sender in the middle of the reply: the receiver is told', async t => {
    const asked = home.ask('hello')
    const taken = await home.taken()
    const replying = home.call('POST', taken.path)
    replying.outgoing.write('HEL')
    await once(await asked.answer, 'readable')
    asked.outgoing.destroy()
    t.match(await whole(replying), { status: 410, json: { code: 'RGT_CHANNEL_REQUEST_OVER', retryable: false } })
  })

  t.test('a receiver that waits is given nothing', async t => {
    const next = home.next()
    await home.waiting('claims', 1)
    next.outgoing.destroy()
    await home.waiting('claims', 0)
    const asked = home.ask('hello')
    await home.waiting('queued', 1)
    const taken = await home.taken()
    t.equal(await textOf(taken.answer), 'hello')
    await whole(home.reply(taken, ''))
    t.equal((await whole(asked)).status, 200)
  })

  t.test('a receiver whose answer has not begun: another one is given the request, before those that came later', async t => {
    // An answer waits for those before it on its connection.
    const other = new HttpChannel(t, service.url)
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
    const get = ({ path }: HttpChannel): string => `GET ${path}/next?wait=true HTTP/1.1\r\nhost: a\r\n\r\n`
    socket.write(get(other) + get(home))
    for (const channel of [other, home]) await channel.waiting('claims', 1)
    const asked = [home.ask('first')]
    await until(() => service.channels().stats().requests === 1)
    asked.push(home.ask('second'))
    await home.waiting('queued', 1)
    const before = tally().requeued
    socket.destroy()
    await until(() => tally().requeued === before + 1)
    for (const message of ['first', 'second']) {
      const taken = await home.taken()
      t.equal(await textOf(taken.answer), message)
      await whole(home.reply(taken, `${message}-echo`))
    }
    t.same(await Promise.all(asked.map(async call => (await whole(call)).text)), ['first-echo', 'second-echo'])
  })

  t.test('a receiver in the middle of the request: nobody else gets it, and the sender is told', async t => {
    const asked = home.call('POST', home.path)
    asked.outgoing.write('hel')
    const next = home.next()
    const taken = await home.taken(next)
    await once(taken.answer, 'readable')
    const before = tally().receiverLeft
    next.outgoing.destroy()
    t.match(await whole(asked), { status: 502, json: { code: 'RGT_CHANNEL_RECEIVER_LEFT', retryable: false } })
    t.equal(tally().receiverLeft, before + 1)
    t.equal((await whole(home.next(''))).status, 204)
    t.equal((await whole(home.reply(taken, 'x'))).status, 404)
  })

  t.test('a receiver in the middle of its reply: what the sender reads is cut', async t => {
    const asked = home.ask('hello')
    const taken = await home.taken()
    await textOf(taken.answer)
    const replying = home.call('POST', taken.path)
    replying.outgoing.write('HEL')
    const answer = await asked.answer
    replying.outgoing.destroy()
    await t.rejects(textOf(answer), { code: 'ECONNRESET' })
  })

  t.test('a receiver before its reply has begun: the sender is told', async t => {
    const asked = home.ask('hello')
    const taken = await home.taken()
    await textOf(taken.answer)
    const replying = home.call('POST', taken.path)
    replying.outgoing.flushHeaders()
    await once(replying.outgoing, 'socket')
    await until(() => replying.outgoing.socket?.connecting === false && replying.outgoing.socket.bytesWritten > 0)
    replying.outgoing.destroy()
    t.match(await whole(asked), { status: 502, json: { code: 'RGT_CHANNEL_RECEIVER_LEFT' } })
  })
})

t.test('a receiver that leaves while the application still decides about its request is given nothing', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  let arrived = (): void => {}
  let decide = (): void => {}
  const hasArrived = new Promise<void>(resolve => { arrived = resolve })
  const decided = new Promise<void>(resolve => { decide = resolve })
  let isOver = false
  app.addHook('onRequest', async request => {
    request.raw.socket.once('close', () => { isOver = true })
    arrived()
    await decided
  })
  await app.register(regent, { databaseUrl: await createDatabase(t) })
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1')
  socket.write('GET /api/v1/channels/5f0c1d3a-2b4e-4c6d-8e7f-901a2b3c4d5e/requests/next?wait=true&timeout=600000 HTTP/1.1\r\nhost: x\r\n\r\n')
  await hasArrived
  socket.destroy()
  await until(() => isOver)
  decide()
  const status = async () => (await (await fetch(`http://127.0.0.1:${port}/api/v1/status/channels`)).json() as { connections: { http: number }, totals: { claims: number } })
  await until(async () => (await status()).connections.http === 0)
  t.equal((await status()).totals.claims, 0)
})
