// Bodies that are larger, longer or other than they say.
import t from 'tap'
import { request, until } from '../support.ts'
import { Bystander } from './bystander.ts'
import { RawClient, allClosed, requestText } from './raw-client.ts'
import type { RawConnection } from './raw-client.ts'
import { notOnLinux, startServer } from './server-under-test.ts'

const MB = 1024 * 1024
const LIMIT_MB = 32
const CHUNKED = { 'transfer-encoding': 'chunked' }
// A body that has been read whole is there as bytes and as text for a moment, and so is what the collector has not got to.
const ONE_BODY_MB = 4 * LIMIT_MB

function chunk (bytes: string): string {
  return `${Buffer.byteLength(bytes).toString(16)}\r\n${bytes}\r\n`
}

/** Send blanks in chunks until the server ends the connection or so many megabytes have gone; how many have. */
async function pour (connection: RawConnection, mostMb: number): Promise<number> {
  const block = Buffer.from(chunk(' '.repeat(MB)))
  for (let sent = 0; sent < mostMb; sent++) {
    if (connection.socket.destroyed) return sent
    await connection.write(block)
  }
  return mostMb
}

t.test('hostile bodies', { skip: notOnLinux }, async t => {
  const { url, rssMb, peakMb, descriptors } = await startServer(t, { env: { MAX_BODY_BYTES: String(LIMIT_MB * MB) } })
  const client = new RawClient(t, url)
  const bystander = new Bystander(url)
  await bystander.served()
  const before = { rssMb: rssMb(), descriptors: descriptors() }
  const push = (body: string): Promise<Awaited<ReturnType<typeof request>>> => request(`${url}/api/v1/push`, { method: 'POST', body })
  const tooLarge = { status: 413, json: { success: false, code: 'RGT_BODY_TOO_LARGE', retryable: false } }

  t.test('a length beyond the limit is answered 413 before any of the body is there, and the connection ended', async t => {
    for (const length of [LIMIT_MB * MB + 1, 10 ** 15]) {
      const connection = await client.open()
      await connection.write(requestText('POST', '/api/v1/push', undefined, { 'content-length': String(length) }))
      t.match(await connection.reply(), tooLarge)
      await connection.closed()
    }
  })

  t.test('a body without end is answered 413 at the limit, and the connection ended', async t => {
    const connection = await client.open()
    await connection.write(requestText('POST', '/api/v1/push', undefined, CHUNKED))
    // What the kernel holds in between has gone too.
    t.ok(await pour(connection, 3 * LIMIT_MB) < 2 * LIMIT_MB, 'it is not read on')
    t.match(await connection.reply(), tooLarge)
    await connection.closed()
  })

  t.test('many of them at once take a bounded amount of memory: the largest are told to come again', async t => {
    const crowd = await client.openMany(12, () => requestText('POST', '/api/v1/push', undefined, CHUNKED))
    // None reaches the limit by itself.
    await Promise.all(crowd.map(async connection => await pour(connection, LIMIT_MB - 1)))
    await bystander.served()
    // What was poured may still be on its way.
    const isShed = ({ replies }: typeof crowd[number]): boolean => replies.length > 0
    await until(() => crowd.filter(isShed).length >= 6)
    t.ok(peakMb() < before.rssMb + 6 * LIMIT_MB + ONE_BODY_MB, `at most ${Math.round(peakMb() - before.rssMb)} MB more`)
    const shed = crowd.filter(isShed)
    for (const { replies: [reply] } of shed) t.match(reply, { status: 503, json: { code: 'RGT_OVERLOADED', retryable: true } })
    await allClosed(shed)
    for (const connection of crowd) connection.leave()
    t.equal((await push(`{"items":[${' '.repeat(LIMIT_MB * MB / 2)}{"queue":"room"}]}`)).status, 201, 'there is room again')
  })

  t.test('a body in chunks of a byte takes no more memory than in one piece', async t => {
    const connection = await client.open()
    await connection.write(requestText('POST', '/api/v1/push', undefined, CHUNKED))
    const baseMb = rssMb()
    const blanks = '1\r\n \r\n'.repeat(20_000)
    for (let i = 0; i < 50; i++) await connection.write(blanks)
    await bystander.served()
    t.ok(rssMb() < baseMb + 150, `a million chunks: ${Math.round(rssMb() - baseMb)} MB`)
    // Characters of up to four bytes are cut in pieces.
    const payload = 'aé€𝄞'.repeat(1500)
    const bytes = Buffer.from(JSON.stringify({ items: [{ queue: 'pieces', payload }] }))
    const pieces = [...bytes].map(byte => Buffer.concat([Buffer.from('1\r\n'), Buffer.from([byte]), Buffer.from('\r\n')]))
    await connection.write(Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')]))
    t.equal((await connection.reply()).status, 201)
    t.equal((await request(`${url}/api/v1/pop/queue/pieces`)).json.messages[0].data, payload)
  })

  t.test('millions of tiny items are answered 400 naming items, before all of them are walked', async t => {
    const item = '{"queue":"tiny"},'
    const answer = await push(`{"items":[${item.repeat((LIMIT_MB - 1) * MB / item.length)} nothing that could be JSON`)
    t.match(answer, { status: 400, json: { code: 'RGT_FIELD_INVALID', field: 'items' } })
  })

  t.test('a text of tens of megabytes comes back as it went in, and leaves nothing behind', async t => {
    const payload = `"${'ü\\n𝄞'.repeat(20 * MB / 8)}"`
    const held: number[] = []
    for (let turn = 0; turn < 3; turn++) {
      t.equal((await push(`{"items":[{"queue":"text","payload":${payload}}]}`)).status, 201)
      const { text } = await request(`${url}/api/v1/pop/queue/text?autoAck=true`)
      t.ok(text.includes(payload))
      held.push(Math.round(rssMb()))
    }
    const [first = 0, , last = 0] = held
    t.ok(last < first + ONE_BODY_MB, `${held.join(', ')} MB`)
  })

  t.test('a body that ends early stores nothing', async t => {
    const body = JSON.stringify({ items: [{ queue: 'early', payload: 1 }] })
    const early = await client.openMany(40, i => requestText('POST', '/api/v1/push', undefined, i % 2 === 0 ? CHUNKED : { 'content-length': String(body.length + 1) }))
    for (const [i, connection] of early.entries()) {
      await connection.write(i % 2 === 0 ? chunk(body) : body)
      if (i % 4 < 2) connection.leave()
      else connection.socket.end()
    }
    await allClosed(early)
    t.same(early.flatMap(({ replies }) => replies.map(({ status }) => status)).filter(status => status !== 400), [])
    t.same((await request(`${url}/api/v1/pop/queue/early`)).json.messages, [])
  })

  t.test('a length that cannot be, or is not the body\'s, stores no more than it says', async t => {
    const body = JSON.stringify({ items: [{ queue: 'length', payload: 1 }] })
    for (const headers of [
      { 'content-length': 'abc' }, { 'content-length': '-1' }, { 'content-length': '1e3' }, { 'content-length': '0x10' }, { 'content-length': '1, 2' },
      { 'content-length': String(body.length), ...CHUNKED }, { 'content-length': String(body.length), 'Content-Length': String(body.length + 1) },
      { 'content-length': '9'.repeat(30) }, { 'content-length': String(body.length - 1) }, { 'transfer-encoding': 'chunked, identity' }
    ]) {
      const connection = await client.open()
      await connection.write(requestText('POST', '/api/v1/push', body, headers))
      await connection.closed()
      t.notOk(connection.replies.some(({ status }) => status < 400), JSON.stringify(headers))
      t.ok(connection.replies.length > 0, 'it is told')
    }
    t.same((await request(`${url}/api/v1/pop/queue/length`)).json.messages, [])
  })

  t.test('a body of a GET is not read: neither one that comes whole nor one without end', async t => {
    const connection = await client.open()
    await connection.write(requestText('GET', '/health', 'not { JSON'))
    await connection.write(requestText('GET', '/api/v1/pop/queue/got', undefined, CHUNKED) + chunk('x') + '0\r\n\r\n')
    await connection.write(requestText('GET', '/api/v1/pop/queue/got?wait=true&timeout=60000', undefined, CHUNKED))
    t.match(await connection.reply(1), { status: 200, json: { messages: [] } })
    const pouring = pour(connection, 2 * LIMIT_MB)
    await push('{"items":[{"queue":"got","payload":1}]}')
    t.match((await connection.reply(2)).json.messages, [{ data: 1 }])
    connection.leave()
    await pouring
    t.notOk(connection.socket.bytesRead > 10_000)
  })

  t.test('afterwards the server is as it was', async t => {
    await bystander.served()
    await bystander.stop()
    t.strictSame(bystander.faults, [])
    await until(() => descriptors() <= before.descriptors + 50)
    t.ok(peakMb() < before.rssMb + 5 * ONE_BODY_MB, `never more than ${Math.round(peakMb())} MB`)
    t.comment(`the bystander's slowest of ${bystander.rounds} rounds took ${Math.round(bystander.slowestMs)} ms`)
  })
})
