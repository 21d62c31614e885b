import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import t from 'tap'
import { until } from '../support.ts'
import { HttpChannel, startHttpChannel, textOf, whole } from './http-peer.ts'
import type { Call } from './http-peer.ts'
import { CHUNK, FINAL, RESPONSE, id } from './raw-frames.ts'

const NIL = '00000000-0000-0000-0000-000000000000'

/** A receiver waits already: what it is given comes at once. */
async function claimed (home: HttpChannel): Promise<Call> {
  const next = home.next()
  await home.waiting('claims', 1)
  return next
}

t.test('what goes wrong', async t => {
  const home = await startHttpChannel(t, { channelsMaxQueued: 2 })
  const { service } = home
  const refused = async (call: Call, status: number, code: string, message: string): Promise<void> => {
    const { json, ...answer } = await whole(call)
    t.match({ status: answer.status, json }, { status, json: { success: false, code, retryable: status === 503 } }, message)
    t.equal(answer.headers['retry-after'], status === 503 ? '1' : undefined)
  }
  t.afterEach(async () => { await home.isEmpty() })

  t.test('channels are UUIDs, but the nil one, and so are the ids of requests', async t => {
    for (const channel of ['x', NIL, `${home.channel}0`, home.channel.replaceAll('-', ''), '%00']) {
      const base = `/api/v1/channels/${channel}/requests`
      for (const [method, path] of [['POST', base], ['GET', `${base}/next`], ['POST', `${base}/${randomUUID()}/reply`]] as const) {
        const { status, json } = await service.call(method, path)
        t.match({ status, json }, { status: 400, json: { code: 'RGT_FIELD_INVALID', field: 'channel', error: /^channel: / } }, `${method} ${path}`)
      }
    }
    const { status, json } = await service.call('POST', `${home.path}/next/reply`)
    t.match({ status, json }, { status: 400, json: { code: 'RGT_FIELD_INVALID', field: 'id' } })
    t.equal((await service.call('GET', `${home.path.toUpperCase().replace(/^.*CHANNELS/, '/api/v1/channels').replace('REQUESTS', 'requests')}/next`)).status, 204, 'in any case')
  })

  t.test('a request that nobody takes in time', async t => {
    const { timedOut, malformed } = service.channels().stats()
    await refused(home.ask('x', '?timeout=50'), 504, 'RGT_CHANNEL_TIMEOUT', 'no receiver')
    t.match(service.channels().stats(), { timedOut: timedOut + 1, malformed }, 'counted as what it was')
    t.equal((await whole(home.next(''))).status, 204, 'nobody gets it later')
  })

  t.test('a request that is not replied to in time', async () => {
    const next = await claimed(home)
    const asked = home.ask('hello', '?timeout=1500')
    const taken = await home.taken(next)
    await textOf(taken.answer)
    await refused(asked, 504, 'RGT_CHANNEL_TIMEOUT', 'the sender')
    await refused(home.reply(taken, 'late'), 404, 'RGT_CHANNEL_REQUEST_UNKNOWN', 'the receiver')
  })

  t.test('a reply that is not complete in time, and its request is cut', async t => {
    const next = await claimed(home)
    const asked = home.call('POST', `${home.path}?timeout=2500`)
    asked.outgoing.write('hel')
    const taken = await home.taken(next)
    const replying = home.call('POST', taken.path)
    replying.outgoing.write('HEL')
    const answer = await asked.answer
    t.equal(answer.statusCode, 200)
    await t.rejects(textOf(answer), { code: 'ECONNRESET' }, 'nobody takes it for whole')
    await t.rejects(textOf(taken.answer), { code: 'ECONNRESET' }, 'nor this')
    await refused(replying, 504, 'RGT_CHANNEL_TIMEOUT', 'the receiver')
  })

  t.test('what cannot be read as a timeout is taken for the default, and so is what is none', async t => {
    for (const query of ['?timeout=abc', '?timeout=', '?timeout=0', '?timeout=-5']) {
      const asked = home.ask('', query)
      const taken = await home.taken()
      t.ok(taken.remainingMs > 20_000 && taken.remainingMs <= 30_000, query)
      await whole(home.reply(taken, ''))
      await whole(asked)
    }
  })

  t.test('one request too many is refused, and those before it are not', async t => {
    const waiting = [home.ask('1'), home.ask('2')]
    await home.waiting('queued', 2)
    await refused(home.ask('3'), 503, 'RGT_CHANNEL_FULL', 'the third')
    const seen: string[] = []
    while (seen.length < waiting.length) {
      const taken = await home.taken()
      seen.push(await textOf(taken.answer))
      await whole(home.reply(taken, ''))
    }
    t.same(seen.sort(), ['1', '2'])
    for (const call of waiting) t.equal((await whole(call)).status, 200)
  })

  t.test('a receiver that leaves before its reply has begun', async () => {
    const raw = await home.raw(t)
    raw.claim()
    const asked = home.ask('hello')
    const { request, client } = await raw.next()
    raw.send(4, RESPONSE, request, { client })
    await raw.nextTexts(2)
    raw.socket.destroy()
    await refused(asked, 502, 'RGT_CHANNEL_RECEIVER_LEFT', 'the sender')
  })

  t.test('a receiver that gives up', async () => {
    const raw = await home.raw(t)
    raw.claim()
    const asked = home.ask('hello')
    const { request, client } = await raw.next()
    raw.send(4, RESPONSE, request, { client })
    raw.send(6, RESPONSE, request, { client })
    await refused(asked, 502, 'RGT_CHANNEL_RECEIVER_LEFT', 'the sender')
    raw.socket.destroy()
  })

  t.test('a receiver that leaves within its reply', async t => {
    const raw = await home.raw(t)
    raw.claim()
    const asked = home.ask('hello')
    const { request, client } = await raw.next()
    raw.send(4, RESPONSE, request, { client })
    raw.send(CHUNK, RESPONSE, request, { client, sequence: 0, payload: 'HEL' })
    const answer = await asked.answer
    raw.socket.destroy()
    t.equal(answer.statusCode, 200)
    await t.rejects(textOf(answer), { code: 'ECONNRESET' })
  })

  t.test('a receiver that leaves after its whole reply does no harm', async t => {
    const raw = await home.raw(t)
    raw.claim()
    const asked = home.ask('hello')
    const { request, client } = await raw.next()
    raw.send(4, RESPONSE, request, { client })
    await raw.nextTexts(2)
    raw.send(CHUNK, RESPONSE, request, { client, sequence: FINAL, payload: 'HELLO' })
    raw.socket.end()
    t.match(await whole(asked), { status: 200, text: 'HELLO' })
  })

  t.test('replies to nothing, to another channel\'s request, and twice', async () => {
    await refused(home.reply({ path: `${home.path}/${randomUUID()}/reply` }, 'x'), 404, 'RGT_CHANNEL_REQUEST_UNKNOWN', 'nothing')
    const asked = home.ask('hello')
    const taken = await home.taken()
    await refused(home.reply({ path: taken.path.replace(home.channel, randomUUID()) }, 'x'), 404, 'RGT_CHANNEL_REQUEST_UNKNOWN', 'another channel')
    const replying = home.call('POST', taken.path)
    replying.outgoing.write('HEL')
    await asked.answer
    await refused(home.reply(taken, 'x'), 409, 'RGT_CHANNEL_REPLY_UNDER_WAY', 'twice')
    replying.outgoing.end('LO')
    t.match(await whole(replying), { status: 200 })
    t.equal((await whole(asked)).text, 'HELLO')
    await refused(home.reply(taken, 'x'), 404, 'RGT_CHANNEL_REQUEST_UNKNOWN', 'over')
  })

  t.test('a connection whose request was answered before it had arrived goes on', async t => {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
    t.teardown(() => { socket.destroy() })
    let text = ''
    socket.on('data', data => { text += data.toString() })
    const half = 'x'.repeat(150_000)
    socket.write(`POST ${home.path}?timeout=50 HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n${half}`)
    await until(() => text.includes('RGT_CHANNEL_TIMEOUT'))
    // The same again, after a receiver has begun to read it.
    const next = await claimed(home)
    const second = `POST ${home.path}?timeout=1500 HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n${half}`
    socket.write(half + second)
    const taken = await home.taken(next)
    taken.answer.resume().on('error', () => {})
    await until(() => text.split('RGT_CHANNEL_TIMEOUT').length === 3)
    socket.write(`${half}GET /health HTTP/1.1\r\nhost: a\r\n\r\n`)
    await until(() => text.includes('"healthy"'))
  })
})

t.test('nothing is held for ever: a sender that has said its end, a default timeout, a receiver over HTTP that never replies', async t => {
  const home = await startHttpChannel(t, { channelsDefaultTimeoutMs: 1500 })
  const next = await claimed(home)
  const raw = await home.raw(t)
  const request = raw.open(id(), { timeoutMs: 0 })
  const taken = await home.taken(next)
  await raw.next()
  raw.ask(request, 'hello')
  raw.done(request)
  await raw.nextError()
  raw.socket.destroy()
  t.ok(await home.isEmpty())
  t.equal((await whole(home.reply(taken, 'x'))).status, 404)
})

t.test('no more clients than are allowed, however they come', async t => {
  const home = await startHttpChannel(t, { channelsMaxConnections: 2 })
  const waiting = [home.next(), home.next()]
  await home.waiting('claims', 2)
  for (const call of [home.ask('x'), home.next()]) {
    t.match(await whole(call), { status: 503, json: { code: 'RGT_OVERLOADED', retryable: true } })
  }
  for (const { outgoing } of waiting) outgoing.destroy()
  t.ok(await home.isEmpty())
  t.equal((await whole(new HttpChannel(t, home.base).next(''))).status, 204)
})
