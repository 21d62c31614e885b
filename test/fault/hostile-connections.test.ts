// Connections that come in floods, and requests that are all head.
import t from 'tap'
import { request, until } from '../support.ts'
import { Bystander } from './bystander.ts'
import { RawClient, allClosed, pollText, pushText, requestText } from './raw-client.ts'
import { notOnLinux, startServer } from './server-under-test.ts'

const FLOOD = 3000

t.test('floods of connections that are dropped, half of them in mid-request, leave nothing behind', { skip: notOnLinux }, async t => {
  const { server, url, rssMb, descriptors, parkedPops } = await startServer(t)
  const client = new RawClient(t, url)
  const bystander = new Bystander(url)
  await bystander.served()
  const before = descriptors()
  const push = pushText('flood', 1)
  // Cut in the head, cut in the body, waiting for messages, whole with nobody to take the answer.
  const parts = [push.slice(0, 40), push.slice(0, -5), pollText('nothing'), push]
  const held: number[] = []
  for (let wave = 0; wave < 3; wave++) {
    const flood = await client.openMany(FLOOD, i => i % 2 === 0 ? '' : parts[(i - 1) / 2 % parts.length] ?? '')
    t.ok(descriptors() > before + FLOOD / 2, 'they were all there')
    for (const connection of flood) connection.leave()
    await until(() => descriptors() <= before + 50, 60_000)
    await until(async () => await parkedPops() <= 1, 60_000)
    await bystander.served()
    held.push(Math.round(rssMb()))
  }
  const [first = 0, , last = 0] = held
  t.ok(last < first + 100, `after each wave: ${held.join(', ')} MB`)
  await bystander.stop()
  t.strictSame(bystander.faults, [])
  t.equal(server.errors(), '')
})

t.test('with as many connections as it may open files, a server goes on serving those it has', { skip: notOnLinux }, async t => {
  const env = { DB_POOL_SIZE: '4', MAX_EVENT_LOOP_DELAY: '0', METRICS_SAMPLE_INTERVAL_MS: '50' }
  const { server, url, descriptors } = await startServer(t, { env, descriptorLimit: 200 })
  const client = new RawClient(t, url)
  const served = await client.open()
  await served.write(requestText('GET', '/health'))
  t.equal((await served.reply()).status, 200)
  const flood = await client.openMany(400)
  await until(() => flood.some(({ isClosed }) => isClosed), 60_000)
  t.ok(descriptors() < 190, 'it keeps some for itself')
  // A new queue needs the database, and several calls of its pool.
  for (let i = 0; i < 20; i++) await served.write(pushText(`q${i}`, i) + requestText('GET', `/api/v1/pop/queue/q${i}`))
  await served.reply(40)
  t.same(served.replies.map(({ status }) => status), [200, ...Array.from({ length: 20 }, () => [201, 200]).flat()])
  t.match(server.output(), 'raise the limit of open files')
  for (const connection of flood) connection.leave()
  await until(async () => (await request(`${url}/health`).catch(() => null))?.status === 200, 60_000)
  t.notOk(server.hasEnded())
})

t.test('requests that are all head', { skip: notOnLinux }, async t => {
  const { url, rssMb } = await startServer(t)
  const client = new RawClient(t, url)
  const bystander = new Bystander(url)
  await bystander.served()
  const before = rssMb()
  const floods: Record<string, [string, number]> = {
    'a long header': [requestText('GET', '/health', undefined, { a: 'x'.repeat(20_000) }), 431],
    'a long header name': [requestText('GET', '/health', undefined, { ['a'.repeat(20_000)]: 'x' }), 431],
    'a long path': [requestText('GET', `/api/v1/pop/queue/${'x'.repeat(20_000)}`), 431],
    '10,000 header lines': [`GET /health HTTP/1.1\r\nhost: x\r\n${'a: b\r\n'.repeat(10_000)}\r\n`, 431],
    'a method without end': ['X'.repeat(20_000), 400],
    'long trailers': [requestText('POST', '/api/v1/push', undefined, { 'transfer-encoding': 'chunked' }) + `0\r\n${'a: b\r\n'.repeat(10_000)}\r\n`, 431],
    'a long chunk extension': [requestText('POST', '/api/v1/push', undefined, { 'transfer-encoding': 'chunked' }) + `1;${'x'.repeat(40_000)}\r\n `, 400]
  }
  for (const [what, [bytes, status]] of Object.entries(floods)) {
    const crowd = await client.openMany(50, () => bytes)
    await allClosed(crowd)
    // Some do not hear of it: the connection ends while they are still sending.
    const told = crowd.flatMap(({ replies }) => replies)
    t.ok(told.length > 0, `${what}: somebody is told`)
    t.ok(told.every(reply => reply.status === status && reply.json.code === 'RGT_REQUEST_INVALID' && reply.json.retryable === false), what)
  }
  await bystander.served()
  t.ok(rssMb() < before + 100, `${Math.round(rssMb() - before)} MB more than before`)
  await bystander.stop()
  t.strictSame(bystander.faults, [])
})

t.test('where large heads are allowed, 10,000 header lines do no harm', { skip: notOnLinux }, async t => {
  const { url } = await startServer(t, { env: { UWS_HTTP_MAX_HEADERS_SIZE: '1048576' } })
  const connection = await new RawClient(t, url).open()
  const lines = Array.from({ length: 10_000 }, (_, i) => `x-${i}: ${i}\r\n`).join('')
  await connection.write(pushText('heads', 1).replace('\r\n\r\n', `\r\n${lines}\r\n`))
  t.equal((await connection.reply()).status, 201)
  await connection.write(requestText('GET', '/api/v1/pop/queue/heads'))
  t.match((await connection.reply(1)).json.messages, [{ data: 1 }])
})
