import { randomUUID } from 'node:crypto'
import t from 'tap'
import { bearer, sign } from '../auth/support.ts'
import { connectOrRefusal } from '../channels/upgrade-requests.ts'
import { FaultProxy } from '../fault/proxy.ts'
import { expireLeases } from '../routes/consumer.ts'
import { rawRequest } from '../routes/raw-http.ts'
import { connect, createDatabase, startService, until } from '../support.ts'
import { examples, NOWHERE } from './examples.ts'
import type { Example, Ids } from './examples.ts'
import { isDescribed, mutantsOf } from './mutants.ts'
import { described, startDescribed } from './service.ts'
import type { Described } from './service.ts'

const MAX_BODY_BYTES = 4096
const LONG_MS = 60_000
const LONG = String(LONG_MS)

/** What is described and not asked for here, with the reason. */
const ELSEWHERE = [
  // Faults of the service itself. That what nobody expected is answered so is shown in test/limits/internal-errors.test.ts, and what
  // cannot be decrypted in test/routes/encryption.test.ts; pushes without a key are asked for here.
  /^(?!push |transact ).* 500$/,
  // How exchanges end between two clients: test/channels/http-errors.test.ts and http-departures.test.ts.
  /^sendRequest 502$/, /^takeRequest 410$/, /^sendReply (410|504)$/,
  // More of large bodies at once than a test can send: test/limits/requests.test.ts.
  /^setLogLevel 503$/
]

const HANDSHAKE = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }

/** Sends the example of every operation for which a status is described, all at once. */
async function callAll ({ contract, call }: Described, status: number, ids: Ids, init: RequestInit = {}, change = (example: Example): Example => example): Promise<void> {
  const all = examples(ids)
  await Promise.all(contract.operations.filter(({ responses }) => Object.hasOwn(responses, status))
    .map(async ({ operationId }) => { await call(operationId, change(all[operationId] ?? {}), init) }))
}

/** Messages that are there, one of them leased to the group `g`. */
async function lease ({ call }: Described, queue: string): Promise<Ids> {
  await call('push', { body: { items: ['there', 'more'].map(transactionId => ({ queue, partition: 'p', transactionId, payload: { a: 1 } })) } })
  const { json: { messages: [{ partitionId, transactionId, leaseId }] } } = await call('popPartition', { params: { queue, partition: 'p' }, query: { consumerGroup: 'g' } })
  return { partitionId, transactionId, leaseId, deadLetterId: NOWHERE.deadLetterId }
}

async function bury (service: Described, queue: string): Promise<Ids> {
  const ids = await lease(service, queue)
  await service.call('ack', { body: { ...ids, consumerGroup: 'g', status: 'dlq' } })
  const { json: { messages: [dead] } } = await service.call('listDeadLetters', { query: { queue } })
  return { ...ids, deadLetterId: dead.deadLetterId }
}

/** A handshake that is refused. */
async function upgrade ({ url, contract, operation, wrong }: Described, more: Record<string, string> = {}): Promise<void> {
  const authorized = bearer(await sign({ role: 'admin' })).headers as Record<string, string>
  const { status, headers, text } = await rawRequest(url, 'GET', '/api/v1/channels', { ...HANDSHAKE, ...authorized, ...more })
  const fault = contract.faultOf(operation('openChannels'), { status, headers: new Headers(headers as Record<string, string>), text, json: JSON.parse(text) })
  if (fault !== null) wrong.add(fault)
}

t.test('every status that is described is answered, as it is described', async t => {
  const databaseUrl = await createDatabase(t)
  const proxy = await FaultProxy.start(t, databaseUrl)
  const service = await startDescribed(t, {
    DATABASE_URL: proxy.url, MAX_BODY_BYTES: String(MAX_BODY_BYTES), MAX_PARKED_POPS: '1', CHANNELS_MAX_QUEUED: '1', CHANNELS_DEFAULT_TIMEOUT: '20', DB_CALL_TIMEOUT: '1000'
  })
  const limited = await startDescribed(t, { DATABASE_URL: databaseUrl, RATE_LIMIT_REQUESTS: '1', RATE_LIMIT_WINDOW: '3600000', QUEEN_ENCRYPTION_KEY: '0123456789abcdef'.repeat(4) })
  // Any process has more than a megabyte.
  const pressed = await described((await startService(t, { databaseUrl, maxHeapUsedMb: 1, channelsMaxConnections: 1 })).url)
  const { call, contract } = service
  const sql = connect(t, databaseUrl)

  await t.test('to requests that are fine', async () => {
    for (const operationId of ['getDeadLetter', 'redriveDeadLetter', 'purgeDeadLetter']) await call(operationId, { params: { deadLetterId: (await bury(service, operationId)).deadLetterId } })
    const ids = await lease(service, 'q')
    await call('configureQueue', { body: { queue: 'q', namespace: 'n', task: 't', merge: true } })
    await callAll(service, 201, ids)
    await call('extendLease', { params: { ...ids }, body: { seconds: 60 } })
    await expireLeases(sql, 'q')
    await call('extendLease', { params: { ...ids } })
    const moved = await lease(service, 'moved')
    await call('moveMessageToDeadLetters', { params: { ...moved } })
    await call('clearQueue', { params: { queue: 'moved' }, query: { partition: 'p' } })
    await callAll(service, 200, ids)
    const done = await lease(service, 'done')
    await call('ack', { body: { ...done, consumerGroup: 'g' } })
    await call('moveMessageToDeadLetters', { params: { ...done }, body: { consumerGroup: 'g' } })
  })

  await t.test('to those that nobody has sent, or somebody else', async () => {
    await callAll(service, 401, NOWHERE, { headers: {} })
    await callAll(service, 403, NOWHERE, bearer(await sign({ sub: 'nobody' })))
  })

  await t.test('to those that are not described', async () => {
    for (const operation of contract.operations) {
      const { operationId, method, responses } = operation
      const mutant = [...mutantsOf(operation, examples(NOWHERE)[operationId] ?? {})].find(mutant => !isDescribed(contract, operation, mutant))
      if (mutant !== undefined) await call(operationId, mutant)
      if (method === 'GET' || !Object.hasOwn(responses, 413)) continue
      for (const body of [Buffer.from([0xff]), 'x'.repeat(MAX_BODY_BYTES + 1)]) {
        const { headers } = bearer(await sign({ role: 'admin' }))
        await call(operationId, examples(NOWHERE)[operationId], { body, headers: headers ?? {} })
      }
    }
    await call('popLabelled')
  })

  await t.test('about what is not there', async () => {
    await callAll(service, 404, NOWHERE, {}, example => ({ ...example, ...(example.params?.queue === undefined ? {} : { params: { ...example.params, queue: 'nowhere' } }) }))
    await callAll(service, 501, NOWHERE)
    await callAll(pressed, 501, NOWHERE)
    await pressed.call('setMaintenance', { body: { enabled: true } })
  })

  await t.test('to what a queue, or the service, cannot take', async () => {
    await call('configureQueue', { body: { queue: 'full', options: { maxSize: 1 } } })
    await call('push', { body: { items: [{ queue: 'full' }, { queue: 'full' }] } })
    // The one request that this one takes, and the other has no key.
    await limited.call('configureQueue', { body: { queue: 'sealed', options: { encryptionEnabled: true } } })
    await call('push', { body: { items: [{ queue: 'sealed' }] } })
    await call('transact', { body: { operations: [{ type: 'push', queue: 'sealed' }] } })
    await callAll(limited, 429, NOWHERE)
    await until(async () => (await pressed.call('configureQueue', { body: { queue: 'q' } })).status === 503)
    await callAll(pressed, 503, NOWHERE)
  })

  await t.test('to pops that would wait where as many do as may', async () => {
    const leaving = new AbortController()
    const waits = { wait: 'true', timeout: LONG }
    const { headers } = bearer(await sign({ role: 'admin' }))
    const parked = fetch(`${service.url}/api/v1/pop/queue/nothing?wait=true&timeout=${LONG}`, { signal: leaving.signal, ...(headers === undefined ? {} : { headers }) })
    await until(async () => (await call('getHealth')).json.load.parkedPops === 1, LONG_MS)
    await call('popQueue', { params: { queue: 'nothing' }, query: waits })
    await call('popPartition', { params: { queue: 'nothing', partition: 'p' }, query: waits })
    await call('popLabelled', { query: { namespace: 'nothing', ...waits } })
    leaving.abort()
    await t.rejects(parked, { name: 'AbortError' })
  })

  await t.test('in exchanges over channels', async t => {
    const params = { channel: randomUUID() }
    const query = { wait: 'true', timeout: LONG }
    const asked = call('sendRequest', { params, query, body: 'hello' })
    await until(async () => (await call('getChannels')).json.totals.queued === 1)
    await call('sendRequest', { params, query, body: 'one too many' })
    const taken = await call('takeRequest', { params, query })
    const replied = { params: { ...params, id: taken.headers.get('x-channel-request') ?? '' } }
    const { headers } = bearer(await sign({ role: 'admin' }))
    let end = (): void => {}
    const slow = new ReadableStream({
      start: controller => {
        controller.enqueue(Buffer.from('HEL'))
        end = () => { controller.close() }
      }
    })
    const replying = call('sendReply', replied, { body: slow, duplex: 'half', headers: headers ?? {} })
    await until(async () => (await call('sendReply', { ...replied, body: 'again' })).status === 409)
    end()
    t.match([(await replying).status, (await asked).text], [200, 'HEL'])

    // The only connection that there may be, once those before are gone.
    const free = /^queen_channel_connections\{[^}]*transport="http"[^}]*\} 0$/m
    await until(async () => free.test((await pressed.call('getPrometheusMetrics')).text), LONG_MS)
    const leaving = new AbortController()
    const waiting = pressed.call('takeRequest', { params, query }, { signal: leaving.signal })
    const refused = waiting.then(({ status, text }) => { throw new Error(`answered ${status}: ${text}`) })
    await Promise.race([refused, until(async () => (await pressed.call('getChannels')).json.totals.claims === 1, LONG_MS)])
    refused.catch(() => {})
    await pressed.call('takeRequest', { params })
    await upgrade(pressed)
    leaving.abort()
    await t.rejects(waiting, { name: 'AbortError' })
  })

  await t.test('to those for a WebSocket', async t => {
    await call('openChannels')
    await upgrade(service, { 'sec-websocket-version': '7' })
    const authorized = bearer(await sign({ role: 'admin' })).headers as Record<string, string>
    t.equal(await connectOrRefusal(t, `${service.url.replace('http', 'ws')}/api/v1/channels`, authorized), null)
    contract.seen.add('openChannels 101')
  })

  await t.test('while the database is away', async () => {
    await proxy.leave()
    await callAll(service, 503, NOWHERE)
  })

  const services = [service, limited, pressed]
  t.same(services.flatMap(({ wrong }) => [...wrong]), [], 'nothing else is answered')
  const seen = new Set(services.flatMap(({ contract }) => [...contract.seen]))
  const all = new Set(services.flatMap(({ contract }) => contract.operations.flatMap(({ operationId, responses }) => Object.keys(responses).map(status => `${operationId} ${status}`))))
  t.same([...all].filter(entry => !seen.has(entry) && !ELSEWHERE.some(those => those.test(entry))), [], 'and nothing less')
})
