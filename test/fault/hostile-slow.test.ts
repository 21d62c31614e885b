// Clients that take their time: with a request's head, with its body, with reading the answer. The server's limits pass
// ten times sooner here: 2 s for a head, 6 s for a request, 6 s for an answer of which nothing is taken.
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { request, until } from '../support.ts'
import { Bystander } from './bystander.ts'
import { RawClient, allClosed, pollText, pushText, requestText } from './raw-client.ts'
import type { RawConnection } from './raw-client.ts'
import { notOnLinux, startServer } from './server-under-test.ts'

const EACH = 200
const PUSH = pushText('slow', 1)
const BODY_AT = PUSH.indexOf('\r\n\r\n') + 4

/** Sends a text a byte at a time on each of the connections, as long as the server listens. */
async function drip (connections: readonly RawConnection[], text: string, everyMs: number): Promise<void> {
  for (const byte of text) {
    if (connections.every(({ isClosed }) => isClosed)) return
    for (const connection of connections) if (!connection.isClosed) connection.socket.write(byte)
    await delay(everyMs)
  }
}

t.test('slow clients are let go, and others are served meanwhile', { skip: notOnLinux }, async t => {
  const { url, rssMb, descriptors, parkedPops } = await startServer(t, { isImpatient: true })
  const client = new RawClient(t, url)
  const bystander = new Bystander(url)
  await bystander.served()
  const before = { descriptors: descriptors(), rssMb: rssMb() }
  // They outlive everybody: waiting for messages is not slowness. One has had an answer on its connection before, one has an
  // answer queued behind it.
  const reused = await client.open()
  const pipelined = await client.open()
  await reused.write(requestText('GET', '/health'))
  await reused.reply()
  await reused.write(pollText('patient'))
  await pipelined.write(pollText('patient') + requestText('GET', '/health'))

  const silent = await client.openMany(EACH)
  const heads = await client.openMany(EACH)
  const bodies = await client.openMany(EACH, () => PUSH.slice(0, BODY_AT))
  const polls = await client.openMany(EACH, () => pollText('patient') + 'GET /he')
  const dripping = [
    drip(heads, requestText('GET', '/health', undefined, { filler: 'x'.repeat(2000) }), 100),
    drip(bodies, PUSH.slice(BODY_AT).padEnd(2000), 200)
  ]
  await bystander.served()
  t.ok(rssMb() < before.rssMb + 100, `${EACH * 4} slow clients: ${Math.round(rssMb() - before.rssMb)} MB`)
  await allClosed([...silent, ...heads, ...bodies, ...polls])
  await Promise.all(dripping)
  for (const [what, slow] of Object.entries({ silent, heads, bodies, polls })) {
    t.ok(slow.every(({ replies: [reply, ...more] }) => reply?.status === 408 && reply.json.retryable === true && more.length === 0), `${what}: told so`)
  }
  await bystander.served()
  // With the time that the others took, longer than any of the limits.
  await delay(2_000)
  t.notOk(reused.isClosed || pipelined.isClosed, 'those that only wait are still there')

  const pusher = await client.open()
  await pusher.write(pushText('patient', 1) + pushText('patient', 2))
  const answers = await Promise.all([reused.reply(1), pipelined.reply(0)])
  t.same(answers.map(({ json }) => json.messages[0].data).sort(), [1, 2])
  t.equal((await pipelined.reply(1)).json.status, 'healthy')
  for (const connection of [reused, pipelined, pusher]) connection.leave()
  await until(() => descriptors() <= before.descriptors + 5)
  await bystander.stop()
  t.strictSame(bystander.faults, [])
  t.equal(await parkedPops(), 0)
  t.same((await request(`${url}/api/v1/pop/queue/slow`)).json.messages, [], 'nothing of a request that did not come whole was stored')
})

t.test('clients that do not read their answers are let go, and what they popped is given back', { skip: notOnLinux }, async t => {
  const { url, rssMb } = await startServer(t, { isImpatient: true })
  const client = new RawClient(t, url)
  const bystander = new Bystander(url)
  // More than the kernel takes off the server's hands on a loopback connection.
  const payload = 'x'.repeat(16 * 1024 * 1024)
  await request(`${url}/api/v1/push`, { method: 'POST', body: JSON.stringify({ items: [{ queue: 'big', payload }] }) })
  const before = rssMb()
  const groups = Array.from({ length: 4 }, (_, i) => `g${i}`)
  const deaf = await client.openMany(groups.length)
  for (const [i, { socket }] of deaf.entries()) {
    socket.pause()
    socket.write(requestText('GET', `/api/v1/pop/queue/big?consumerGroup=g${i}`))
  }
  // Reads on and on, but takes more time for it than a client may do nothing.
  const slow = await client.open()
  await slow.write(requestText('GET', '/api/v1/pop/queue/big?consumerGroup=slow'))
  const reading = setInterval(() => { slow.socket.resume() }, 200)
  slow.socket.on('data', () => { slow.socket.pause() })
  t.teardown(() => { clearInterval(reading) })
  await delay(8_000)
  t.notOk(slow.isClosed, 'a slow reader is not let go')
  clearInterval(reading)
  slow.socket.removeAllListeners('pause').resume()
  slow.socket.on('data', () => { slow.socket.resume() })
  t.equal((await slow.reply()).json.messages[0].data.length, payload.length)

  for (const group of groups) {
    // It comes again well before the lease ends, so it was given back.
    const again = await request(`${url}/api/v1/pop/queue/big?consumerGroup=${group}&wait=true&timeout=20000`)
    t.match(again.json.messages, [{ deliveryCount: 1 }], group)
  }
  await bystander.served()
  await until(() => rssMb() < before + 250, 30_000).catch(() => {})
  t.ok(rssMb() < before + 250, `${Math.round(rssMb() - before)} MB more than before`)
  await bystander.stop()
  t.strictSame(bystander.faults, [])
})
