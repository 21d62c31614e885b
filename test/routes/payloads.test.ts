import t from 'tap'
import { connect, startService } from '../support.ts'
import type { Service } from '../support.ts'

const FLAG = '\u{1f3f4}\u{e0067}\u{e0062}'

const EXACT: Record<string, string> = {
  'an integer above 2^53': '9007199254740993',
  'a trailing zero': '1.10',
  'a number beyond doubles': '1e400',
  'exponents, signs and zeros': '[-0,0.0,1E+2,1e-07,-0.0e0]',
  'forty digits': '0.1234567890123456789012345678901234567890',
  'an escaped NUL': '"a\\u0000b"',
  'lone surrogate escapes': '["\\ud800","\\udc00x","\\uD83D\\uDE00"]',
  '__proto__ and friends': '{"__proto__":{"polluted":true},"constructor":{"prototype":1},"toString":0}',
  'duplicate keys': '{"a":1,"a":2,"a":{"a":3}}',
  'key order': '{"b":1,"a":2,"10":3,"9":4}',
  '4-byte UTF-8': `{"${FLAG}":"\u{1f389}\u{10ffff}é漢"}`,
  'escapes that need none': '"\\u0041\\/\\b\\f\\n\\r\\t\\"\\\\\\u001e\\u2028"',
  'raw separators of lines elsewhere': '"\u2028\u2029\u0085\u007f\ufeff"',
  'spaces and tabs': '{ "a" :\t[ 1 , 2 ]  }',
  'what looks like the storage format': '{"transactionId":"x","data":{"data":1},"a":"\\",\\"data\\":1}"}',
  'what looks like SQL and array syntax': '"{NULL,\\"x\\\\\\"}\'; drop table regent.segments; --"',
  null: 'null',
  zero: '0',
  'an empty string': '""',
  'an empty array': '[]',
  'an empty object': '{}',
  true: 'true',
  false: 'false',
  'depth 500': '['.repeat(500) + ']'.repeat(500),
  'depth 512, objects': '{"a":'.repeat(512) + '1' + '}'.repeat(512)
}

/** The payload's text in a pop answer of one message: data is the last field of a message, messages that of the envelope. */
function payloadOf (text: string): string {
  const start = text.indexOf(',"data":')
  if (start < 0 || !text.endsWith('}]}')) throw new Error(text.slice(0, 300))
  return text.slice(start + ',"data":'.length, -'}]}'.length)
}

const WAYS: Record<string, (queue: string, payload: string) => [path: string, body: string]> = {
  push: (queue, payload) => ['/api/v1/push', `{"items":[{"queue":"${queue}","payload":${payload},"transactionId":"x"}]}`],
  'a transaction\'s items': (queue, payload) => ['/api/v1/transaction', `{"operations":[{"type":"push","items":[{"payload":${payload},"queue":"${queue}"}]}]}`],
  'a transaction\'s bare push': (queue, payload) => ['/api/v1/transaction', `{"operations":[{"data":${payload},"type":"push","queue":"${queue}"}]}`]
}

t.test('payloads', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const roundTrip = async (from: Service, queue: string, payload: string, way: keyof typeof WAYS): Promise<string> => {
    const make = WAYS[way]
    if (make === undefined) throw new Error(way)
    const [path, body] = make(queue, payload)
    const pushed = await from.call('POST', path, body)
    if (pushed.status >= 300 || pushed.text.includes('"success":false')) throw new Error(pushed.text)
    return payloadOf((await from.pop(`${queue}?autoAck=true`)).text)
  }

  let number = 0
  for (const way of Object.keys(WAYS)) {
    t.test(`come back byte for byte through ${way}`, async t => {
      for (const [title, payload] of Object.entries(EXACT)) {
        const queue = `q${number++}`
        t.equal(await roundTrip(service, queue, payload, way), payload, title)
        const rows = await sql<{ data: string }[]>`select data from regent.messages where queue = ${queue}`
        t.same(rows.map(row => row.data), [payload], `${title}, by plain SQL`)
      }
    })
  }

  t.test('come back byte for byte among others of the same segment and after a partial delivery', async t => {
    const payloads = Object.values(EXACT)
    await service.call('POST', '/api/v1/push', `{"items":[${payloads.map((payload, i) => `{"queue":"mixed","payload":${payload},"transactionId":"m${i}"}`).join(',')}]}`)
    for (const [i, payload] of payloads.entries()) {
      const { text, json } = await service.pop('mixed?autoAck=true')
      t.equal(payloadOf(text), payload)
      t.equal(json.messages[0].transactionId, `m${i}`)
    }
  })

  t.test('lose only the line breaks that mean nothing', async t => {
    const pretty = '{\n  "a": [\r\n    1\n  ],\n\t"b": "x\\ny"\r}'
    const stored = await roundTrip(service, 'pretty', pretty, 'push')
    t.equal(stored, pretty.replace(/[\r\n]/g, ' '))
    t.same(JSON.parse(stored), JSON.parse(pretty))
    t.same((await sql`select data from regent.messages where queue = 'pretty'`)[0]?.data, stored)
  })

  t.test('carry 5 MB, also next to small ones', async t => {
    const big = `"${'x\u{1f389}'.repeat(1024 * 1024)}"`
    t.ok(Buffer.byteLength(big) > 5_000_000)
    await service.push([{ queue: 'big', payload: 'before' }])
    t.equal((await service.call('POST', '/api/v1/push', `{"items":[{"queue":"big","payload":${big}},{"queue":"big","payload":"after"}]}`)).status, 201)
    const { json } = await service.pop('big?batch=9')
    t.same(json.messages.map((message: any) => message.data.length), [6, big.length - 2, 5])
    t.ok(json.messages[1].data === JSON.parse(big))
    const rows = await sql<{ bytes: number }[]>`select octet_length(data) as bytes from regent.messages where queue = 'big' order by position`
    t.same(rows.map(row => row.bytes), [8, Buffer.byteLength(big), 7])
  })

  t.test('show up in the view with what belongs to them', async t => {
    const [pushed] = (await service.push([{ queue: 'view', partition: 'p\u{1f389}', transactionId: 'a",\\"data\\":é', payload: { n: 1 } }])).json
    const { messages: [popped] } = (await service.pop('view')).json
    const rows = await sql`select queue, partition, position::int, id, transaction_id, data, data::json ->> 'n' as n, regent.wire_time(created_at) as at
      from regent.messages where queue = 'view'`
    t.same([...rows], [{
      queue: 'view', partition: 'p\u{1f389}', position: 1, id: pushed.message_id, transaction_id: 'a",\\"data\\":é', data: '{"n":1}', n: '1', at: popped.createdAt
    }])
    t.equal(popped.transactionId, 'a",\\"data\\":é')
  })
})
