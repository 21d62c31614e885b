import t from 'tap'
import { connect, startService, until } from '../support.ts'
import type { Service } from '../support.ts'

const KEY_A = '0123456789abcdef'.repeat(4)
const KEY_B = 'fedcba9876543210'.repeat(4)
const MARKER = 'marker-6f1d2c9e'

const PAYLOADS = [
  '9007199254740993', '1.10', '1', 'null', '""', '{"b":1,"a":2,"a":3}', '"\\ud800 \\u0000"', '{"__proto__":{"x":1}}', '[1 , 2,\t3]', '"\u{1f389}é\u2028"',
  // Pushed by a client, these are payloads like any other.
  '{"encrypted":"AAAA","iv":"AAAA","authTag":"AAAA"}', '{"encrypted":"AA==","iv":"AA==","authTag":"AA==","kid":"a","v":2}', '{"data":1,"sealed":1}', '{"sealed":1}'
]

/** A service with a key and a queue that encrypts. */
async function startEncrypted (t: Parameters<typeof startService>[0], options: Parameters<typeof startService>[1] = { encryptionKeys: `a:${KEY_A}` }, queue = 'secret'): Promise<Service> {
  const service = await startService(t, options)
  await encrypt(service, queue)
  return service
}

async function encrypt (service: Service, queue: string, options: object = {}): Promise<void> {
  const { status, text } = await service.call('POST', '/api/v1/configure', { queue, options: { encryptionEnabled: true, ...options } })
  if (status !== 200) throw new Error(text)
}

/** What could not be read is left alone for a while: end that. */
async function endHold (sql: ReturnType<typeof connect>): Promise<void> {
  await sql`update regent.cursors set available_at = clock_timestamp() where lease_id is null and available_at < 'infinity'`
}

/** The payloads' texts in a pop answer: data is the last field of a message, and none of those pushed here holds its key. */
function dataTexts (text: string): string[] {
  const messages = text.slice(text.indexOf('"messages":[') + '"messages":['.length, -2)
  return messages.split(/,(?=\{"id":")/).map(message => message.slice(message.indexOf(',"data":') + ',"data":'.length, -1))
}

t.test('payloads come back byte for byte, and are stored as envelopes', async t => {
  const service = await startEncrypted(t)
  const sql = connect(t, service.databaseUrl)
  const items = PAYLOADS.map((payload, i) => `{"queue":"secret","transactionId":"t${i}","payload":${payload}}`)
  t.equal((await service.call('POST', '/api/v1/push', `{"items":[${items.join(',')}]}`)).status, 201)

  const rows = await sql`select transaction_id, data, sealed from regent.messages where queue = 'secret' order by position`
  t.same(rows.map(row => row.transaction_id), PAYLOADS.map((_, i) => `t${i}`))
  for (const [i, { data, sealed }] of rows.entries()) {
    t.equal(sealed, true)
    const { encrypted, ...envelope } = JSON.parse(data)
    t.match(envelope, { iv: /^[\w+/]{16}$/, authTag: /^[\w+/]{22}==$/, kid: 'a', v: 2 })
    t.equal(Buffer.from(encrypted, 'base64').length, Buffer.byteLength(PAYLOADS[i] ?? ''))
  }

  const { text, json } = await service.pop('secret?batch=100')
  t.same(dataTexts(text), PAYLOADS)
  t.notOk(text.includes('"v":2,"sealed"'))
  for (const [i, message] of json.messages.entries()) {
    t.same(Object.keys(message), ['id', 'createdAt', 'partitionId', 'partition', 'leaseId', 'consumerGroup', 'queue', 'retryCount', 'deliveryCount', 'transactionId', 'traceId', 'producerSub', 'data'])
    t.equal(message.transactionId, `t${i}`)
  }
  t.match((await service.pop('secret?batch=100&consumerGroup=other&autoAck=true')).json.messages.length, PAYLOADS.length)
})

t.test('what looks like an envelope is never opened in a queue that does not encrypt', async t => {
  const service = await startEncrypted(t)
  const sql = connect(t, service.databaseUrl)
  await service.push([{ queue: 'secret', payload: 'x' }])
  const [{ line }] = await sql<[{ line: string }]>`select body as line from regent.segments`
  const payload = JSON.stringify(JSON.parse(line).data)
  for (const text of [...PAYLOADS, payload, line]) {
    await service.call('POST', '/api/v1/push', `{"items":[{"queue":"plain","payload":${text}}]}`)
    t.equal(dataTexts((await service.pop('plain?autoAck=true')).text)[0], text)
  }
  const rows = await sql`select data, sealed from regent.messages where queue = 'plain' order by position`
  t.same([...rows], [...PAYLOADS, payload, line].map(data => ({ data, sealed: false })))
})

t.test('a transaction seals what it pushes, queue by queue', async t => {
  const service = await startEncrypted(t)
  const sql = connect(t, service.databaseUrl)
  await service.push([{ queue: 'in', payload: 1 }])
  const { messages: [message], leaseId } = (await service.pop('in')).json
  const { json } = await service.call('POST', '/api/v1/transaction', {
    operations: [
      { type: 'push', items: [{ queue: 'secret', payload: { text: MARKER } }, { queue: 'plain', payload: 'seen' }, { queue: 'secret', partition: 'p', payload: 2 }] },
      { type: 'ack', transactionId: message.transactionId, partitionId: message.partitionId, status: 'completed' }
    ],
    requiredLeases: [leaseId]
  })
  t.equal(json.success, true)
  t.same([...await sql`select queue, partition, sealed from regent.messages order by queue, partition`], [
    { queue: 'in', partition: 'Default', sealed: false }, { queue: 'plain', partition: 'Default', sealed: false },
    { queue: 'secret', partition: 'Default', sealed: true }, { queue: 'secret', partition: 'p', sealed: true }
  ])
  t.same((await service.pop('secret/partition/Default?autoAck=true')).json.messages[0].data, { text: MARKER })
  t.same((await service.pop('secret/partition/p')).json.messages[0].data, 2)
})

t.test('duplicates, acknowledgements by id and further deliveries work as with any message', async t => {
  const service = await startEncrypted(t)
  const other = await startService(t, { databaseUrl: service.databaseUrl, encryptionKeys: `a:${KEY_A}` })
  await service.push([{ queue: 'secret', transactionId: 'x', payload: 1 }])
  t.match((await other.push([{ queue: 'secret', transactionId: 'x', payload: 1 }])).json, [{ status: 'duplicate' }])
  const { messages: [message] } = (await service.pop('secret')).json
  const ack = { transactionId: 'x', partitionId: message.partitionId, leaseId: message.leaseId, status: 'retry' }
  t.match((await other.call('POST', '/api/v1/ack', ack)).json, [{ success: true }])
  t.match((await other.pop('secret')).json.messages, [{ id: message.id, data: 1, deliveryCount: 2 }])
})

t.test('a dead letter is a copy of what was stored: sealed', async t => {
  const service = await startEncrypted(t)
  const sql = connect(t, service.databaseUrl)
  await service.push([{ queue: 'secret', payload: MARKER }])
  const { messages: [message] } = (await service.pop('secret')).json
  t.match((await service.call('POST', '/api/v1/ack', { ...message, status: 'dlq', error: 'no good' })).json, [{ success: true, dlq: true }])
  const [letter] = await sql`select line, error from regent.dead_letters`
  t.match(letter, { line: /,"kid":"a","v":2\},"sealed":1\}$/, error: 'no good' })
  t.notOk(letter?.line.includes(MARKER))
})

t.test('without a key nothing is configured to be encrypted', async t => {
  const service = await startService(t)
  const refused = await service.call('POST', '/api/v1/configure', { queue: 'secret', options: { encryptionEnabled: true } })
  t.equal(refused.status, 400)
  t.match(refused.json, { code: 'RGT_FIELD_INVALID', field: 'options.encryptionEnabled', retryable: false, error: /QUEEN_ENCRYPTION_KEY/ })
  const sql = connect(t, service.databaseUrl)
  t.same([...await sql`select name from regent.queues`], [])
  t.equal((await service.call('POST', '/api/v1/configure', { queue: 'secret', options: { encryptionEnabled: false } })).status, 200)
})

t.test('a process without a key stores nothing in an encrypted queue, and its neighbours go on', async t => {
  const keyed = await startEncrypted(t)
  const service = await startService(t, { databaseUrl: keyed.databaseUrl })
  const sql = connect(t, keyed.databaseUrl)
  const missing = { code: 'RGT_ENCRYPTION_KEY_MISSING', retryable: false, error: /secret/ }
  const answers = await Promise.all(Array.from({ length: 12 }, async (_, i) =>
    await service.push(i % 4 === 3 ? [{ queue: 'plain', payload: i }, { queue: 'secret', payload: MARKER }] : [{ queue: i % 4 === 1 ? 'secret' : 'plain', partition: `p${i}`, payload: MARKER }])))
  for (const [i, { status, json }] of answers.entries()) {
    t.equal(status, i % 2 === 1 ? 500 : 201)
    if (i % 2 === 1) t.match(json, missing)
  }
  const transaction = await service.call('POST', '/api/v1/transaction', { operations: [{ type: 'push', items: [{ queue: 'plain', payload: 'with it' }, { queue: 'secret', payload: MARKER }] }] })
  t.equal(transaction.status, 500)
  t.match(transaction.json, missing)
  t.same([...await sql`select queue, data from regent.messages order by queue`], Array.from({ length: 6 }, () => ({ queue: 'plain', data: `"${MARKER}"` })))
  t.equal((await service.push([])).status, 201)
})

t.test('a queue that stops encrypting keeps what it has, and stores the rest as it comes', async t => {
  const service = await startEncrypted(t)
  const sql = connect(t, service.databaseUrl)
  await service.push([{ queue: 'secret', payload: 1 }])
  await encrypt(service, 'secret', { encryptionEnabled: false })
  await service.push([{ queue: 'secret', payload: 2 }])
  await encrypt(service, 'secret')
  await service.push([{ queue: 'secret', payload: 3 }])
  t.same((await sql`select sealed from regent.messages order by position`).map(row => row.sealed), [true, false, true])
  t.same((await service.pop('secret?batch=9')).json.messages.map((message: any) => message.data), [1, 2, 3])
})

t.test('keys are rotated without a pause: old messages open, new ones are under the new key', async t => {
  const before = await startService(t, { encryptionKey: KEY_A })
  await encrypt(before, 'secret')
  await before.push([{ queue: 'secret', payload: 'old' }])
  const during = await startService(t, { databaseUrl: before.databaseUrl, encryptionKey: KEY_A, encryptionKeys: `new:${KEY_B}` })
  await during.push([{ queue: 'secret', payload: 'new' }])
  const sql = connect(t, before.databaseUrl)
  t.same((await sql`select data::json ->> 'kid' as kid from regent.messages order by position`).map(row => row.kid), ['4884fdaa', 'new'])
  t.same((await during.pop('secret?batch=9&consumerGroup=g')).json.messages.map((message: any) => message.data), ['old', 'new'])

  const after = await startService(t, { databaseUrl: before.databaseUrl, encryptionKeys: `new:${KEY_B}` })
  const refused = await after.pop('secret?batch=9')
  t.match([refused.status, refused.json.code], [500, 'RGT_MESSAGE_UNREADABLE'])
  await endHold(sql)
  t.match((await before.pop('secret')).json.messages, [{ data: 'old', deliveryCount: 1 }])
})

t.test('a message that cannot be opened is answered as such, and nothing of the delivery is used up', async t => {
  const service = await startEncrypted(t)
  const wrong = await startService(t, { databaseUrl: service.databaseUrl, encryptionKeys: `a:${KEY_B}` })
  const none = await startService(t, { databaseUrl: service.databaseUrl })
  const sql = connect(t, service.databaseUrl)
  const [first] = (await service.push([{ queue: 'secret', partition: 'p', payload: MARKER }, { queue: 'secret', partition: 'p', payload: 2 }])).json
  for (const from of [wrong, none]) {
    for (const query of ['batch=9', 'batch=9&autoAck=true', 'batch=9&consumerGroup=g', 'batch=9&wait=true&timeout=15000']) {
      await endHold(sql)
      const { status, json } = await from.pop(`secret?${query}`)
      t.equal(status, 500, query)
      t.match(json, { code: 'RGT_MESSAGE_UNREADABLE', retryable: false })
      for (const part of ['queue secret', 'partition p', first.message_id, 'kid a']) t.ok(json.error.includes(part), part)
      for (const part of [MARKER, KEY_A, KEY_B]) t.notOk(json.error.includes(part))
    }
  }
  for (const query of ['batch=9', 'batch=9&consumerGroup=g']) {
    await endHold(sql)
    t.match((await service.pop(`secret?${query}`)).json.messages, [{ data: MARKER, deliveryCount: 1, retryCount: 0 }, { data: 2 }], query)
  }

  await service.push([{ queue: 'secret', partition: 'changed', payload: 'x' }])
  await sql`update regent.segments set body = replace(body, '"iv":"', '"iv":"A') where partition_id = (select id from regent.partitions where name = 'changed')`
  t.match((await service.pop('secret/partition/changed')).json, { code: 'RGT_MESSAGE_UNREADABLE' })
})

t.test('a parked pop is woken by an encrypted message', async t => {
  const service = await startEncrypted(t)
  const waiting = service.pop('secret?wait=true&timeout=30000')
  await until(async () => (await service.call('GET', '/health')).json.load.parkedPops === 1)
  await service.push([{ queue: 'secret', payload: MARKER }])
  t.match((await waiting).json.messages, [{ data: MARKER }])
})

t.test('partitions that can be read are delivered beside one that cannot, which is left to others for a while', async t => {
  const one = await startEncrypted(t, { encryptionKeys: `a:${KEY_A}` })
  const other = await startService(t, { databaseUrl: one.databaseUrl, encryptionKeys: `b:${KEY_B}` })
  await one.push([{ queue: 'secret', partition: 'lost', payload: 'a' }])
  await other.push([{ queue: 'secret', partition: 'p1', payload: 'b1' }, { queue: 'secret', partition: 'p2', payload: 'b2' }])
  const seen: unknown[] = []
  await until(async () => {
    const answer = await other.pop('secret?batch=10&partitions=5&wait=true&timeout=2000')
    for (const message of answer.json?.messages ?? []) seen.push(message.data)
    return seen.length >= 2
  }, 30_000)
  t.same(seen.sort(), ['b1', 'b2'])
  const [message] = (await one.pop('secret?wait=true&timeout=20000')).json.messages
  t.match(message, { data: 'a', deliveryCount: 1 }, 'not counted as delivered')
})
