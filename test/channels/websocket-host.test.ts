import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import type { IncomingMessage, RequestOptions } from 'node:http'
import { Agent as TlsAgent, request as httpsRequest } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocketServer } from 'ws'
import regent from '../../index.ts'
import { rawBytes } from '../routes/raw-http.ts'
import { createDatabase, until } from '../support.ts'
import { openWs } from './links.ts'
import { RawClient } from './raw-client.ts'
import { CHUNK, FINAL, LIMIT, REQUEST, id } from './raw-frames.ts'
import { accepted, works } from './support.ts'
import { connectOrRefusal, listen } from './upgrade-requests.ts'

const HOME = id()
const PATH = '/mq/api/v1/channels'

async function makeHost (t: Test, given: object = {}): Promise<FastifyInstance> {
  const app = Fastify(given)
  t.teardown(async () => { await app.close() })
  return app
}

// One for all: nothing here is about what is in it.
const databaseUrl = createDatabase(t)

async function mount (app: FastifyInstance): Promise<void> {
  await app.register(regent, { prefix: '/mq', databaseUrl: await databaseUrl, maxEventLoopDelayMs: 0 })
}

/** A socket of the host's own still echoes, and ours does what it does, with the limits that are ours. */
async function bothWork (t: Test, base: string): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const { ws } = openWs(t, `${base}/own`)
    await once(ws, 'open')
    ws.send('hello')
    t.equal(String((await once(ws, 'message'))[0]), 'own hello')
    ws.close()
    t.equal((await once(ws, 'close'))[0], 1005)
  }
  const [sender, receiver] = [await RawClient.connectWs(t, base + PATH, HOME), await RawClient.connectWs(t, base + PATH, HOME)]
  await works(t, sender, receiver)
  const request = await accepted(sender, receiver)
  sender.send(CHUNK, REQUEST, request, { sequence: 0, payload: Buffer.alloc(LIMIT) })
  t.equal((await receiver.next()).payload.length, LIMIT)
  sender.link.send(sender.bytes({ type: CHUNK, flags: REQUEST, request, sequence: FINAL + 1, payload: Buffer.alloc(LIMIT + 1) }), true)
  await sender.closed()
  t.equal(sender.link.closeCode, 1009)
  receiver.socket.destroy()
}

for (const order of ['before', 'after', 'in a scope of its own'] as const) {
  t.test(`with a host that uses @fastify/websocket, registered ${order}`, async t => {
    const app = await makeHost(t)
    const register = async (scope: FastifyInstance): Promise<void> => {
      await scope.register(websocket, { options: { maxPayload: 100 } })
      scope.get('/own', { websocket: true }, socket => {
        socket.on('message', (message: Buffer) => { socket.send(`own ${message.toString()}`) })
      })
    }
    if (order === 'before') await register(app)
    await mount(app)
    if (order === 'after') await register(app)
    if (order === 'in a scope of its own') await app.register(register)
    const base = await listen(app)
    await bothWork(t, base)
    // In a scope of its own it leaves connections open that it has refused elsewhere, with us or without.
    for (const path of order === 'in a scope of its own' ? [] : ['/nowhere', '/mq/nowhere']) {
      t.match(await connectOrRefusal(t, base + path), { status: 404 })
    }
    t.match(await rawBytes(base, `GET ${PATH} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`), /^HTTP\/1\.1 400 .*RGT_REQUEST_INVALID/s, 'a refusal ends its connection')
  })
}

t.test('with a host that listens for upgrades itself', async t => {
  const app = await makeHost(t)
  await mount(app)
  const own = new WebSocketServer({ noServer: true })
  app.server.on('upgrade', (request, socket, head) => {
    if (request.url !== '/own') return
    // It takes its time.
    setImmediate(() => {
      own.handleUpgrade(request, socket, head, ws => {
        ws.on('message', (message: Buffer) => { ws.send(`own ${message.toString()}`) })
      })
    })
  })
  const base = await listen(app)
  await bothWork(t, base)
  const { ws, socket } = openWs(t, `${base}/nowhere`)
  ws.on('error', () => {})
  const [, unanswered] = await once(app.server, 'upgrade') as [unknown, Socket] // what it emits
  await works(t, await RawClient.connectWs(t, base + PATH, HOME), await RawClient.connectWs(t, base + PATH, HOME))
  t.equal(socket.bytesRead, 0, 'what is of neither is the host\'s affair')
  unanswered.destroy()
})

t.test('with a host whose listener takes everything, that stands', async t => {
  const app = await makeHost(t)
  await mount(app)
  new WebSocketServer({ server: app.server }).on('connection', own => {
    own.on('message', (message: Buffer) => { own.send(`own ${message.toString()}`) })
  })
  const { ws, socket } = openWs(t, await listen(app) + PATH)
  await once(ws, 'open')
  for (const text of ['one', 'two']) {
    ws.send(text)
    t.equal(String((await once(ws, 'message'))[0]), `own ${text}`)
  }
  socket.destroy()
})

t.test('several in one host have a socket each', async t => {
  const app = await makeHost(t)
  for (const name of ['a', 'b']) {
    await app.register(regent, { prefix: `/${name}`, decorator: name, databaseSchema: name, databaseUrl: await databaseUrl, maxEventLoopDelayMs: 0 })
  }
  const base = await listen(app)
  const join = async (name: string): Promise<RawClient> => await RawClient.connectWs(t, `${base}/${name}/api/v1/channels`, HOME)
  const [sender, other, receiver] = [await join('a'), await join('b'), await join('a')]
  other.claim()
  await works(t, sender, receiver)
  t.ok(await other.isQuiet())
  t.match(await connectOrRefusal(t, `${base}/c/api/v1/channels`), { status: 404 })
})

/** A POST that offers HTTP/2 with it, as many clients do. */
async function offerHttp2 (options: RequestOptions, body: string, request = httpRequest): Promise<string> {
  const outgoing = request({ method: 'POST', path: '/echo', ...options, headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__', 'content-type': 'text/plain' } })
  outgoing.end(body)
  const [response] = await once(outgoing, 'response') as [IncomingMessage] // what it emits
  return `${response.statusCode} ${await text(response)}`
}

t.test('requests that offer another protocol are served as they were, body and all', async t => {
  for (const isTls of [false, true]) {
    const psk = Buffer.alloc(16, 7)
    const secret = { ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' as const }
    const app = await makeHost(t, isTls ? { https: { ...secret, pskCallback: () => psk } } : {})
    app.post('/echo', async request => request.body)
    await mount(app)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo // it listens on TCP
    const agent = isTls
      ? new TlsAgent({ keepAlive: true, maxSockets: 1, ...secret, pskCallback: () => ({ psk, identity: 'x' }), checkServerIdentity: () => undefined })
      : new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => { agent.destroy() })
    const options = { port, host: '127.0.0.1', agent }
    const connections: unknown[] = []
    app.server.on(isTls ? 'tlsClientError' : 'clientError', error => { connections.push(error) })
    for (const body of ['one', 'x'.repeat(500_000), 'three', '', ...Array.from({ length: 20 }, (_, n) => `${n}`)]) {
      t.ok(await offerHttp2(options, body, isTls ? httpsRequest : httpRequest) === `200 ${body}`, `${body.length} bytes`)
    }
    t.same(connections, [])
  }
})

t.test('a request for a WebSocket that does not wait for the answer before it ends its connection, and nothing else', async t => {
  const app = await makeHost(t)
  let release = (): void => {}
  app.get('/slow', async () => { await new Promise<void>(resolve => { release = resolve }) })
  await mount(app)
  const base = await listen(app)
  const upgrade = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
  for (const path of [PATH, '/nowhere']) {
    t.equal(await rawBytes(base, `GET /slow HTTP/1.1\r\nhost: x\r\n\r\n${upgrade(path)}`), '')
    release()
  }
  await works(t, await RawClient.connectWs(t, base + PATH, HOME), await RawClient.connectWs(t, base + PATH, HOME))
  await until(() => app.server.listening)
})
