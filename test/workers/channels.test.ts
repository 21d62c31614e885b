import t from 'tap'
import { connectChannel } from '../../client.ts'
import type { ChannelClient } from '../../client.ts'
import { RawClient } from '../fault/raw-client.ts'
import { startServer } from '../fault/server-under-test.ts'
import { request, until } from '../support.ts'
import { connectEach } from './connections.ts'

const CHANNEL = '5f0c1d3a-2b4e-4c6d-8e7f-901a2b3c4d5e'
const PATH = `/api/v1/channels/${CHANNEL}/requests`
const WORKERS = 3

async function textOf (body: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

async function echo ({ request: body }: { request: AsyncIterable<Uint8Array> }): Promise<string> {
  return `echo of ${await textOf(body)}`
}

t.test('channels of a server with several workers', async t => {
  const { server, url } = await startServer(t, { env: { WORKERS: String(WORKERS), CHANNELS_PORT: '0', LOG_LEVEL: 'info' } })
  const port = /"port":(\d+)\},"msg":"channels are open"/.exec(server.output())?.[1]
  t.ok(port !== undefined, 'one process has the TCP port')
  const join = (to: string): ChannelClient => {
    const client = connectChannel({ url: to, channel: CHANNEL })
    t.teardown(async () => { await client.close() })
    return client
  }
  const webSocketUrl = `${url.replace('http:', 'ws:')}/api/v1/channels`

  await t.test('clients meet whichever worker they are connected to, and however', async t => {
    const receiver = join(webSocketUrl).receive(echo)
    // Enough for each worker to have some.
    for (let i = 0; i < 4 * WORKERS; i++) {
      const sender = i % 2 === 0 ? join(webSocketUrl) : join(`tcp://127.0.0.1:${port}`)
      t.equal(await textOf(await sender.send(`n ${i}`, { timeoutMs: 30_000 })), `echo of n ${i}`)
    }
    const { status, text } = await request(url + PATH, { method: 'POST', body: 'by HTTP' })
    t.strictSame([status, text], [200, 'echo of by HTTP'])
    await receiver.stop()
  })

  await t.test('a request that is taken through one worker is replied to through another', async t => {
    const [first, second, third] = await connectEach(new RawClient(t, url), WORKERS)
    if (first === undefined || second === undefined || third === undefined) throw new Error('not enough connections')
    const answer = request(url + PATH, { method: 'POST', body: 'who replies?' })
    const taken = await first.call('GET', `${PATH}/next?wait=true&timeout=30000`)
    t.equal(taken.status, 200)
    const location = taken.headers.get('location') ?? ''
    t.equal((await second.call('POST', location, 'the second')).status, 200)
    t.match(await answer, { status: 200, text: '"the second"' })
    t.equal((await third.call('POST', location, 'late')).status, 404)
  })

  await t.test('status and metrics are those of the whole server, whoever is asked', async t => {
    for (const connection of await connectEach(new RawClient(t, url), WORKERS)) {
      const status = await connection.call('GET', '/api/v1/status/channels')
      t.match(status.json, { connections: { tcp: Number, websocket: Number } })
      t.ok(status.json.connections.tcp > 0 && status.json.connections.websocket > 0)
      const metrics = await connection.call('GET', '/metrics/prometheus')
      const uptimes = [...metrics.text.matchAll(/^queen_uptime_seconds\{worker_id="([^"]+)"\} \d/gm)].map(([, name]) => name)
      t.strictSame(uptimes.sort(), ['regent-1-1', 'regent-1-2', 'regent-1-3', 'regent-1-main'])
      t.match(metrics.text, /^queen_channel_requests_ended_total\{cause="completed"\} 14$/m)
    }
  })

  await t.test('who is in the middle of something hears that the server stops', async t => {
    let isAsked = false
    join(webSocketUrl).receive(async () => {
      isAsked = true
      return await new Promise<string>(() => {})
    })
    const sender = join(`tcp://127.0.0.1:${port}`)
    const failed = t.rejects((async () => await textOf(await sender.send('x', { timeoutMs: 60_000 })))())
    await until(() => isAsked)
    server.signalGroup('SIGTERM')
    await failed
    t.equal(await server.ended, 0)
  })
})
