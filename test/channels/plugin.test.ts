import { once } from 'node:events'
import { connect } from 'node:net'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import channels from '../../plugins/channels.ts'
import type { ChannelsPluginOptions } from '../../plugins/channels.ts'
import { REGENT_OPTIONS, readRegentOptions } from '../../services/options.ts'
import { readyUrl, spawnServer } from '../fixtures/server-process.ts'
import { createDatabase, until } from '../support.ts'
import { RawClient } from './raw-client.ts'
import { CHUNK, END, FINAL, REQUEST, RESPONSE, id } from './raw-frames.ts'
import { accepted, works } from './support.ts'

const HOME = id()

function makeApp (t: Test, given: Partial<ChannelsPluginOptions> = {}): FastifyInstance {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  void app.register(channels, { ...readRegentOptions({ databaseHost: 'unused' }), ...given })
  return app
}

async function join (t: Test, port: number | undefined, channel = HOME): Promise<RawClient> {
  return await RawClient.connect(t, port ?? 0, channel)
}

t.test('no port is opened unless one is configured', async t => {
  t.equal(REGENT_OPTIONS.channelsPort.default, undefined)
  const app = makeApp(t)
  await app.ready()
  t.equal(app.channels.address(), null)
  t.match(app.channels.stats(), { connections: 0, opened: 0 })
})

t.test('a port is opened when the application is ready, and closed with it', async t => {
  const app = makeApp(t, { channelsPort: 0 })
  await app.after()
  t.equal(app.channels.address(), null)
  await app.ready()
  t.match(app.channels.address(), { address: '127.0.0.1' })
  const port = app.channels.address()?.port
  await works(t, await join(t, port), await join(t, port))
  t.match(app.channels.stats(), { connections: 2, clients: 2, channels: 1, requests: 0, opened: 1, completed: 1 })
  await app.close()
  t.equal(app.channels.address(), null)
  const refused = connect({ port: port ?? 0, host: '127.0.0.1' })
  await t.rejects(once(refused, 'connect'), { code: 'ECONNREFUSED' })
})

t.test('closing answers every live operation, and takes about a second at most', async t => {
  const app = makeApp(t, { channelsPort: 0 })
  await app.ready()
  const port = app.channels.address()?.port
  const [sender, receiver, rude, queued, replying, served] = [
    await join(t, port), await join(t, port), await join(t, port, id()), await join(t, port), await join(t, port), await join(t, port)]
  const finished = await accepted(served, replying)
  served.send(CHUNK, REQUEST, finished, { sequence: FINAL })
  served.done(finished)
  t.same(await replying.nextTexts(2), ['chunk|request 0 final ""', 'end|request'])
  replying.send(CHUNK, RESPONSE, finished, { client: served.id, sequence: FINAL })
  await served.next()
  const running = await accepted(sender, receiver)
  const waiting = queued.open()
  await queued.sync()
  // Nobody is given a request of its own.
  const claim = queued.claim()
  await queued.sync()
  // Does not read that it is over, and does not close.
  rude.open()
  await rude.sync()
  rude.socket.pause()

  const begin = performance.now()
  const closing = app.close()
  t.match(await sender.nextError(), { request: running, client: sender.id })
  t.match(await receiver.nextError(), { request: running, client: receiver.id })
  t.same([(await queued.nextError()).request, (await queued.nextError()).request].sort(), [waiting, claim].sort())
  t.match(await served.next(), { type: END, flags: RESPONSE, request: finished }, 'what was replied to in full ends well')
  await closing
  t.ok(performance.now() - begin < 10_000)
  for (const client of [sender, receiver, queued, replying, served]) {
    await client.closed()
    t.same(client.received, [])
  }
  await app.close()
})

t.test('a port that cannot be had is named', async t => {
  const first = makeApp(t, { channelsPort: 0 })
  await first.ready()
  const taken = first.channels.address()?.port
  const second = makeApp(t, { channelsPort: taken })
  await t.rejects(async () => { await second.ready() }, { code: 'RGT_OPTIONS_INVALID', message: /CHANNELS_PORT.*127\.0\.0\.1.*EADDRINUSE/ })
})

t.test('more connections than configured are closed at once', async t => {
  const app = makeApp(t, { channelsPort: 0, channelsMaxConnections: 2 })
  await app.ready()
  const port = app.channels.address()?.port
  const [one, two, three] = [await join(t, port), await join(t, port), await join(t, port)]
  await three.closed()
  await works(t, one, two)
})

t.test('a server process that is stopped tells everybody, and is gone', async t => {
  const server = spawnServer(t, { env: { DATABASE_URL: await createDatabase(t), CHANNELS_PORT: '0', FILE_BUFFER_DIR: 'off' } })
  await readyUrl(server)
  await until(() => server.output().includes('channels are open'))
  const port = Number(/"address":\{[^}]*"port":(\d+)/.exec(server.output())?.[1])
  const [sender, receiver, idle] = [await join(t, port), await join(t, port), await join(t, port)]
  const request = await accepted(sender, receiver)
  const claim = idle.claim()
  await idle.sync()
  process.kill(server.pid, 'SIGTERM')
  t.equal((await sender.nextError()).request, request)
  t.equal((await receiver.nextError()).request, request)
  t.equal((await idle.nextError()).request, claim)
  for (const client of [sender, receiver, idle]) await client.closed()
  t.equal(await server.ended, 0)
})
