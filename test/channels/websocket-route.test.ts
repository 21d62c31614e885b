import { once } from 'node:events'
import type { Socket } from 'node:net'
import cors from '@fastify/cors'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import channels from '../../plugins/channels.ts'
import ownCors from '../../plugins/cors.ts'
import errors from '../../plugins/errors.ts'
import { channelsSocketRoute } from '../../routes/channels-socket.ts'
import { readRegentOptions } from '../../services/options.ts'
import type { RegentOptions } from '../../services/options.ts'
import { rawBytes, rawRequest } from '../routes/raw-http.ts'
import { until } from '../support.ts'
import { RawClient } from './raw-client.ts'
import { id } from './raw-frames.ts'
import { accepted, works } from './support.ts'
import { connectOrRefusal, listen } from './upgrade-requests.ts'

const HOME = id()
const PATH = '/api/v1/channels'

/** The channels alone, under a prefix; what they decorate is that of the scope. */
async function makeScope (t: Test, given: Partial<RegentOptions> = {}, host: (app: FastifyInstance) => unknown = () => {}, isOpenToAll = true): Promise<{ app: FastifyInstance, scope: FastifyInstance }> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await host(app)
  let scope: FastifyInstance = app
  await app.register(async child => {
    scope = child
    const options = { ...readRegentOptions({ databaseHost: 'unused' }), ...given }
    await child.register(errors, options)
    if (given.prefix !== '/closed') await child.register(ownCors)
    await child.register(channels, options)
    await child.register(channelsSocketRoute, { isOpenToAll })
  }, { prefix: given.prefix ?? '' })
  return { app, scope }
}

t.test('clients connect under the prefix, and nowhere else', async t => {
  for (const prefix of ['', '/mq', '/mq/']) {
    const { app, scope } = await makeScope(t, { prefix })
    const base = await listen(app)
    const url = `${base}${prefix.replace(/\/$/, '')}${PATH}`
    await works(t, await RawClient.connectWs(t, `${url}?a=b`, HOME), await RawClient.connectWs(t, url, HOME))
    t.equal(scope.channels.stats().completed, 1)
    t.match(scope.channels.broker.connectionsByKind(), { tcp: 0, websocket: 2 })
    for (const path of ['/', '/other', `${PATH}/`, `/mqx${PATH}`, ...(prefix === '' ? [] : [PATH])]) {
      t.match(await connectOrRefusal(t, base + path), { status: 404 }, `${prefix}: ${path}`)
    }
  }
})

t.test('without an upgrade the path says what it is for', async t => {
  const { app } = await makeScope(t)
  const base = await listen(app)
  for (const headers of [{}, { connection: 'upgrade', upgrade: 'h2c' }]) {
    const answer = await rawRequest(base, 'GET', PATH, headers)
    t.match(answer, { status: 426, headers: { upgrade: 'websocket' } })
    t.match(JSON.parse(answer.text), { success: false, code: 'RGT_UPGRADE_REQUIRED', retryable: false })
  }
  t.equal((await rawRequest(base, 'POST', PATH, { connection: 'upgrade', upgrade: 'websocket' })).status, 404)
})

t.test('there are as many connections as configured, TCP and WebSocket together', async t => {
  const { app, scope } = await makeScope(t, { channelsPort: 0, channelsMaxConnections: 2 })
  const url = await listen(app) + PATH
  const port = scope.channels.address()?.port ?? 0
  const [tcp, ws] = [await RawClient.connect(t, port, HOME), await RawClient.connectWs(t, url, HOME)]
  await works(t, tcp, ws)
  const refusal = await connectOrRefusal(t, url)
  t.match(refusal, { status: 503, headers: { 'retry-after': '1', connection: 'close' } })
  t.match(JSON.parse(refusal?.body ?? ''), { success: false, code: 'RGT_CHANNELS_FULL', retryable: true })
  await (await RawClient.connect(t, port, HOME)).closed()
  tcp.socket.destroy()
  await until(() => scope.channels.stats().connections === 1)
  await works(t, ws, await RawClient.connectWs(t, url, HOME))
})

t.test('pages of other origins connect where they may read the answers, else only those of this one', async t => {
  const verdicts = async (prefix: string, host: (app: FastifyInstance) => unknown = () => {}): Promise<unknown[]> => {
    const { app } = await makeScope(t, { prefix }, host)
    const url = await listen(app) + prefix + PATH
    const own = new URL(url).host
    const answers: unknown[] = []
    for (const origin of [undefined, `http://${own}`, `https://${own}`, 'http://127.0.0.1:1', 'https://other.example', 'null', 'file://', 'nonsense', '']) {
      const refusal = await connectOrRefusal(t, url, origin === undefined ? {} : { origin })
      answers.push(refusal === null ? 'in' : `${refusal.status} ${(JSON.parse(refusal.body) as { code: string }).code}`)
    }
    return answers
  }
  const no = '403 RGT_ORIGIN_REFUSED'
  t.same(await verdicts(''), Array.from({ length: 9 }, () => 'in'), 'for all that there is')
  t.same(await verdicts('/closed'), ['in', 'in', 'in', no, no, no, no, no, no], 'none')
  t.same(await verdicts('/closed', async app => { await app.register(cors, { origin: 'https://other.example' }) }), ['in', 'in', 'in', no, 'in', no, no, no, no], 'those of the host')
})

t.test('a default port is the same as none', async t => {
  const { app } = await makeScope(t, { prefix: '/closed' })
  const url = `${await listen(app)}/closed${PATH}`
  for (const [origin, host] of [['http://a.example', 'a.example:80'], ['https://a.example', 'a.example:443'], ['https://A.example', 'a.EXAMPLE']] as const) {
    t.equal(await connectOrRefusal(t, url, { origin, host }), null, origin)
  }
  t.match(await connectOrRefusal(t, url, { origin: 'https://a.example', host: 'a.example:80' }), { status: 403 })
})

t.test('a handshake that is none is refused as any other request', async t => {
  const { app, scope } = await makeScope(t)
  const base = await listen(app)
  const good = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
  for (const bad of [{ 'sec-websocket-key': 'short' }, { 'sec-websocket-key': '' }, { 'sec-websocket-version': '7' }, { 'sec-websocket-version': '' }]) {
    const head = Object.entries({ host: 'x', ...good, ...bad }).map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const answer = await rawBytes(base, `GET ${PATH} HTTP/1.1\r\n${head}\r\n`)
    t.match(answer, /^HTTP\/1\.1 400 /)
    t.match(answer, /^sec-websocket-version: 13\r$/im)
    t.match(JSON.parse(answer.slice(answer.indexOf('{'))), { success: false, code: 'RGT_REQUEST_INVALID' })
  }
  t.equal(scope.channels.stats().connections, 0)
})

t.test('hooks decide about it as about any other request, and see its end', async t => {
  let ended = 0
  const { app, scope } = await makeScope(t, {}, app => {
    app.addHook('onRequest', async (request, reply) => {
      reply.raw.once('close', () => { ended++ })
      await new Promise(resolve => setImmediate(resolve))
      if (request.headers.authorization === undefined) return await reply.code(401).send({ who: 'are you' })
    })
  })
  const url = await listen(app) + PATH
  t.match(await connectOrRefusal(t, url), { status: 401, body: '{"who":"are you"}' })
  t.equal(await connectOrRefusal(t, url, { authorization: 'yes' }), null)
  await until(() => ended === 2 && scope.channels.stats().connections === 0)
})

t.test('a client that is gone before it is let in is none', async t => {
  let release = (): void => {}
  const { app, scope } = await makeScope(t, {}, app => {
    app.addHook('onRequest', async () => { await new Promise<void>(resolve => { release = resolve }) })
  })
  const gone = connectOrRefusal(t, await listen(app) + PATH)
  gone.catch(() => {})
  const [, socket] = await once(app.server, 'upgrade') as [unknown, Socket] // what it emits
  const closed = new Promise(resolve => { socket.once('close', resolve) })
  socket.destroy(new Error('connection reset'))
  await closed
  release()
  await new Promise(resolve => setImmediate(resolve))
  t.equal(scope.channels.stats().connections, 0)
})

t.test('closing the application ends the connections as going away, and waits for nobody who does not answer', async t => {
  const { app, scope } = await makeScope(t)
  const url = await listen(app) + PATH
  const [sender, receiver, rude] = [await RawClient.connectWs(t, url, HOME), await RawClient.connectWs(t, url, HOME), await RawClient.connectWs(t, url, HOME)]
  const request = await accepted(sender, receiver)
  rude.open()
  await rude.sync()
  rude.socket.pause()
  const closing = app.close()
  for (const client of [sender, receiver]) {
    t.equal((await client.nextError()).request, request)
    await client.closed()
    t.equal(client.link.closeCode, 1001)
  }
  await closing
  t.equal(scope.channels.stats().connections, 0)
  t.same(app.server.listeners('upgrade'), [])
})
