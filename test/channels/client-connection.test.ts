import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Test } from 'tap'
import { Broker } from '../../services/channels/broker.ts'
import { TcpServer } from '../../services/channels-tcp/tcp-server.ts'
import type { ChannelError } from '../../services/client/channel-error.ts'
import { connectChannel } from '../../services/client/connect-channel.ts'
import { connectTcp } from '../../services/client/connect-tcp.ts'
import type { Connect } from '../../services/client/connect.ts'
import { readyUrl, spawnServer } from '../fixtures/server-process.ts'
import type { ServerProcess } from '../fixtures/server-process.ts'
import { createDatabase, until } from '../support.ts'
import { clientOf, everyWay, hang, shout, startClients, uuid } from './client-support.ts'
import { DEFAULT_LIMITS } from './support.ts'

const CHANNEL = uuid()

async function listening (server: Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A port that nobody listens on. */
async function freePort (): Promise<number> {
  const server = createServer()
  const port = await listening(server)
  server.close()
  await once(server, 'close')
  return port
}

async function serve (t: Test, port: number): Promise<{ broker: Broker, stop: () => Promise<void> }> {
  const log = { debug: () => {} }
  const broker = new Broker({ limits: DEFAULT_LIMITS, log })
  const server = new TcpServer({ broker, log })
  await server.listen(port, '127.0.0.1')
  const stop = async (): Promise<void> => { await Promise.all([server.close(), broker.close()]) }
  t.teardown(stop)
  return { broker, stop }
}

t.test('a client connects when there is something to do, and says how it stands', async t => {
  const states: string[] = []
  const { client, broker } = await startClients(t)
  const sender = client({ onStateChange: state => states.push(state) })
  t.equal(sender.state, 'idle')
  t.equal(broker.figures().connections, 0)
  client().receive(shout)
  t.equal(await text(sender.send('x')), 'X')
  t.equal(sender.state, 'connected')
  await sender.close()
  await until(() => states.length === 3)
  t.same(states, ['connecting', 'connected', 'closed'])
})

t.test('what is sent while the server is away waits for it', async t => {
  const port = await freePort()
  const [sender, receiver] = [clientOf(t, connectTcp('127.0.0.1', port), { channel: CHANNEL }), clientOf(t, connectTcp('127.0.0.1', port), { channel: CHANNEL })]
  receiver.receive(shout)
  const reply = text(sender.send('early'))
  await until(() => sender.state === 'waiting')
  await serve(t, port)
  t.equal(await reply, 'EARLY')
})

t.test('it waits no longer than its time, and says what was wrong', async t => {
  const errors: Array<ChannelError | undefined> = []
  const sender = clientOf(t, connectTcp('127.0.0.1', await freePort()), { channel: CHANNEL, onStateChange: (_state, error) => errors.push(error) })
  await t.rejects(text(sender.send('x', { timeoutMs: 300 })), { code: 'CHANNEL_TIMEOUT', cause: { code: 'CHANNEL_NOT_CONNECTED', message: /ECONNREFUSED/ } })
  await until(() => sender.state === 'idle')
  t.match(errors.find(error => error !== undefined), { code: 'CHANNEL_NOT_CONNECTED', cause: { code: 'ECONNREFUSED' } })
  const controller = new AbortController()
  const reply = text(sender.send('x', { signal: controller.signal }))
  controller.abort()
  await t.rejects(reply, { code: 'CHANNEL_ABORTED' })
})

t.test('a server process that is killed and comes back', { timeout: 120_000 }, async t => {
  const port = await freePort()
  const env = { DATABASE_URL: await createDatabase(t), CHANNELS_PORT: String(port), FILE_BUFFER_DIR: t.testdir() }
  const start = async (): Promise<ServerProcess> => {
    const server = spawnServer(t, { env })
    await readyUrl(server)
    return server
  }
  const first = await start()
  const url = `tcp://127.0.0.1:${port}`
  const [sender, receiver] = [connectChannel({ url, channel: CHANNEL }), connectChannel({ url, channel: CHANNEL })]
  t.teardown(async () => { await Promise.all([sender.close(0), receiver.close(0)]) })
  const reasons: string[] = []
  receiver.receive(async incoming => {
    const message = await text(incoming.request)
    if (message !== 'wait') return message.toUpperCase()
    await hang(incoming).catch(error => reasons.push(error.code))
  }, { concurrency: 2 })
  const waits = text(sender.send('wait'))
  t.equal(await text(sender.send('one')), 'ONE')
  const lost = t.rejects(waits, { code: 'CHANNEL_CONNECTION_LOST' })
  process.kill(first.pid, 'SIGKILL')
  await lost
  await until(() => reasons.length === 1)
  t.same(reasons, ['CHANNEL_CONNECTION_LOST'])
  const early = text(sender.send('two', { timeoutMs: 120_000 }))
  await first.ended
  const second = await start()
  t.equal(await early, 'TWO')
  t.equal(await text(sender.send('three')), 'THREE')
  process.kill(second.pid, 'SIGTERM')
  t.equal(await second.ended, 0)
})

t.test('a server that stops in order says so', async t => {
  const port = await freePort()
  const { broker, stop } = await serve(t, port)
  const sender = clientOf(t, connectTcp('127.0.0.1', port), { channel: CHANNEL })
  const receiver = clientOf(t, connectTcp('127.0.0.1', port), { channel: CHANNEL })
  const faults: unknown[] = []
  receiver.receive(shout, { onError: error => faults.push(error) })
  t.equal(await text(sender.send('one')), 'ONE')
  const waits = receiver.send('nobody serves it')
  await until(() => broker.figures().queued === 1)
  await stop()
  await t.rejects(text(waits), { code: 'CHANNEL_SERVER_STOPPING' })
  await serve(t, port)
  t.equal(await text(sender.send('two')), 'TWO')
  t.same(faults, [])
})

t.test('a server that lets nobody stay is asked less and less often', async t => {
  let connections = 0
  const server = createServer(socket => {
    connections++
    socket.destroy()
  })
  const port = await listening(server)
  t.teardown(() => { server.close() })
  const sender = clientOf(t, connectTcp('127.0.0.1', port), { channel: CHANNEL })
  sender.receive(shout)
  await t.rejects(text(sender.send('x')), { code: 'CHANNEL_CONNECTION_LOST' })
  await until(() => connections === 4)
  const since = performance.now()
  await until(() => connections === 5)
  t.ok(performance.now() - since > 300, 'the fifth attempt comes 400 to 800 ms after the fourth was over')
})

t.test('a server that speaks something else is left', async t => {
  const sockets: Socket[] = []
  const server = createServer(socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
  })
  const port = await listening(server)
  t.teardown(() => { server.close(); for (const socket of sockets) socket.destroy() })
  const errors: unknown[] = []
  const sender = clientOf(t, connectTcp('127.0.0.1', port), { channel: CHANNEL, onStateChange: (_state, error) => { if (error !== undefined) errors.push(error) } })
  await t.rejects(text(sender.send('x')), { code: /CHANNEL_(INVALID_FRAME|CONNECTION_LOST)/ })
  await until(() => errors.length > 0)
  t.match(errors[0], { code: 'CHANNEL_INVALID_FRAME', message: /version/ })
})

t.test('an attempt to connect that takes too long is given up', async t => {
  const errors: unknown[] = []
  const connectNever: Connect = async (_events, signal) => await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => { reject(signal.reason) })
  })
  const sender = clientOf(t, connectNever, { channel: CHANNEL, connectTimeoutMs: 50, onStateChange: (_state, error) => { if (error !== undefined) errors.push(error) } })
  const reply = text(sender.send('x'))
  await until(() => errors.length > 1)
  t.match(errors[0], { code: 'CHANNEL_NOT_CONNECTED', message: /50 ms/ })
  const closed = sender.close()
  await t.rejects(reply, { code: 'CHANNEL_CLOSED' })
  await closed
})

everyWay(t, 'closing lets what is under way come to its end, and refuses what is new', async (t, way) => {
  const { client, isEmpty } = await startClients(t, way)
  const [sender, receiver] = [client(), client()]
  let go: (() => void) | undefined
  receiver.receive(async incoming => {
    await new Promise<void>(resolve => { go = resolve })
    return await shout(incoming) as string
  })
  const reply = text(sender.send('x'))
  await until(() => go !== undefined)
  const closed = [sender.close(), receiver.close(), sender.close()]
  await t.rejects(text(sender.send('y')), { code: 'CHANNEL_CLOSED' })
  t.throws(() => receiver.receive(shout), { code: 'CHANNEL_CLOSED' })
  go?.()
  t.equal(await reply, 'X')
  await Promise.all(closed)
  t.equal(sender.state, 'closed')
  await until(isEmpty)
})

everyWay(t, 'what is not over when the grace ends fails', async (t, way) => {
  const { client, broker, isEmpty } = await startClients(t, way)
  const [sender, receiver] = [client(), client()]
  const reasons: unknown[] = []
  let isCalled = false
  receiver.receive(async incoming => {
    isCalled = true
    await hang(incoming).catch(error => reasons.push(error.code))
  })
  const rejected = t.rejects(text(sender.send('x')), { code: /CHANNEL_(CLOSED|RECEIVER_FAILED|RECEIVER_DISCONNECTED)/ })
  const queued = t.rejects(text(sender.send('y')), { code: 'CHANNEL_CLOSED' })
  await until(() => isCalled && broker.figures().queued === 1)
  await Promise.all([sender.close(100), receiver.close(100)])
  await Promise.all([rejected, queued])
  await until(() => reasons.length === 1)
  await until(isEmpty)
})

t.test('a handler that never ends does not keep a client from closing', async t => {
  const { client, broker } = await startClients(t)
  const [sender, receiver] = [client(), client()]
  let isCalled = false
  receiver.receive(async () => {
    isCalled = true
    await new Promise(() => {})
  })
  const rejected = t.rejects(text(sender.send('x')), { code: 'CHANNEL_RECEIVER_FAILED' })
  await until(() => isCalled)
  await receiver.close(50)
  await rejected
  await until(() => broker.figures().connections === 1)
})

t.test('receiving ends with its signal: what is being served is broken off', async t => {
  const { client, broker } = await startClients(t)
  const [sender, receiver] = [client(), client()]
  const controller = new AbortController()
  const reasons: unknown[] = []
  let isCalled = false
  const receiving = receiver.receive(async incoming => {
    isCalled = true
    await hang(incoming).catch(error => reasons.push(error))
  }, { concurrency: 2, signal: controller.signal })
  const rejected = t.rejects(text(sender.send('x')), { code: 'CHANNEL_RECEIVER_FAILED' })
  await until(() => isCalled)
  controller.abort(new Error('enough'))
  await rejected
  await receiving.stop()
  t.match(reasons, [{ code: 'CHANNEL_ABORTED', cause: { message: 'enough' } }])
  t.equal(broker.figures().claims, 0)
  await receiver.receive(shout, { signal: AbortSignal.abort() }).stop()
  receiver.receive(shout)
  t.equal(await text(sender.send('by the next')), 'BY THE NEXT')
})

t.test('options are checked, and the one at fault is named', async t => {
  const url = 'tcp://localhost:1'
  const bad: Array<[Record<string, unknown>, string]> = [
    [{ url, channel: 'orders' }, 'channel'],
    [{ url, channel: '00000000-0000-0000-0000-000000000000' }, 'channel'],
    [{ url: 'http://localhost', channel: CHANNEL }, 'url'],
    [{ url: 'tcp://localhost', channel: CHANNEL }, 'url'],
    [{ url: 'nowhere', channel: CHANNEL }, 'url'],
    [{ url, channel: CHANNEL, headers: { authorization: 'x' } }, 'headers'],
    [{ url, channel: CHANNEL, bufferBytes: 0 }, 'bufferBytes'],
    [{ url, channel: CHANNEL, slowReaderMs: 1.5 }, 'slowReaderMs'],
    [{ url, channel: CHANNEL, connectTimeoutMs: Number.POSITIVE_INFINITY }, 'connectTimeoutMs']
  ]
  for (const [options, field] of bad) {
    t.throws(() => connectChannel(options as never), { name: 'ChannelError', code: 'CHANNEL_OPTION_INVALID', field, message: new RegExp(`^${field}: `) })
  }
  const client = connectChannel({ url: 'tcp://[::1]:1', channel: CHANNEL.toUpperCase() })
  t.throws(() => client.send('x', { timeoutMs: 0 }), { code: 'CHANNEL_OPTION_INVALID', field: 'timeoutMs' })
  t.throws(() => client.receive(shout, { concurrency: -1 }), { code: 'CHANNEL_OPTION_INVALID', field: 'concurrency' })
  t.equal(client.state, 'idle')
  await client.close()
})
