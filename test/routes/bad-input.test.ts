import t from 'tap'
import { connect, startService } from '../support.ts'
import { ackOne, pushIds, take, takeIds, takeOne } from './consumer.ts'
import { rawRequest } from './raw-http.ts'

const LONG = 'x'.repeat(256)
const POSTS = ['/api/v1/push', '/api/v1/ack', '/api/v1/ack/batch', '/api/v1/transaction', '/api/v1/configure']

t.test('bad input', async t => {
  const service = await startService(t)

  t.test('answers 400 with a stable code to bodies that cannot be read', async t => {
    const bodies: [string | Uint8Array, string][] = [
      ['', 'RGT_BODY_EMPTY'],
      [' ', 'RGT_BODY_NOT_JSON'],
      ['{', 'RGT_BODY_NOT_JSON'],
      ['{"items":[{"queue":"q"}]} x', 'RGT_BODY_NOT_JSON'],
      ['{"items":[{"queue":"q",}]}', 'RGT_BODY_NOT_JSON'],
      ["{'items':[]}", 'RGT_BODY_NOT_JSON'],
      ['{"items":[{"queue":"q","payload":01}]}', 'RGT_BODY_NOT_JSON'],
      ['{"items":[{"queue":"q","payload":"a\nb"}]}', 'RGT_BODY_NOT_JSON'],
      ['{"items":[{"queue":"q","payload":NaN}]}', 'RGT_BODY_NOT_JSON'],
      [`{"x":${'['.repeat(600)}${']'.repeat(600)}}`, 'RGT_BODY_TOO_DEEP'],
      ['['.repeat(500_000), 'RGT_BODY_TOO_DEEP'],
      [Buffer.from('{"items":[{"queue":"caf\xe9"}]}', 'latin1'), 'RGT_BODY_NOT_UTF8'],
      [Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d]), 'RGT_BODY_NOT_UTF8'],
      [Buffer.from('\ufeff{"items":[]}', 'utf16le'), 'RGT_BODY_NOT_UTF8']
    ]
    for (const path of POSTS) {
      for (const [body, code] of bodies) {
        const { status, json } = await service.call('POST', path, body)
        t.match({ status, ...json }, { status: 400, code, retryable: false, error: String }, `${path} ${String(body).slice(0, 30)}`)
      }
    }
  })

  t.test('names the field where a body is JSON but not what is asked for', async t => {
    const bad: [string, unknown, string][] = [
      ...[[], {}, null, 5, { items: null }, { items: {} }, { items: 'x' }].map((body): [string, unknown, string] => ['/api/v1/push', body, 'items']),
      ['/api/v1/push', { items: [{ queue: 'q' }, null] }, 'items[1].queue'],
      ['/api/v1/push', { items: [{}] }, 'items[0].queue'],
      ['/api/v1/push', { items: [{ queue: null }] }, 'items[0].queue'],
      ['/api/v1/push', { items: [{ queue: '' }] }, 'items[0].queue'],
      ['/api/v1/push', { items: [{ queue: LONG }] }, 'items[0].queue'],
      ['/api/v1/push', { items: [{ queue: 'a\0b' }] }, 'items[0].queue'],
      ['/api/v1/push', '{"items":[{"queue":"\\ud800"}]}', 'items[0].queue'],
      ['/api/v1/push', { items: [{ queue: 'q', partition: null }] }, 'items[0].partition'],
      ['/api/v1/push', { items: [{ queue: 'q', partition: '' }] }, 'items[0].partition'],
      ['/api/v1/push', { items: [{ queue: 'q', partition: LONG }] }, 'items[0].partition'],
      ['/api/v1/push', { items: [{ queue: 'q', partition: 7 }] }, 'items[0].partition'],
      ['/api/v1/push', { items: [{ queue: 'q', transactionId: null }] }, 'items[0].transactionId'],
      ['/api/v1/push', { items: [{ queue: 'q', transactionId: LONG }] }, 'items[0].transactionId'],
      ['/api/v1/push', { items: [{ queue: 'q', transactionId: '\0' }] }, 'items[0].transactionId'],
      ['/api/v1/push', { items: [{ queue: 'q', traceId: 5 }] }, 'items[0].traceId'],
      ['/api/v1/push', { items: [{ queue: 'q', traceId: 'no-uuid' }] }, 'items[0].traceId'],
      ['/api/v1/push', `{"items":[{"queue":"q"},{"queue":"q","payload":${'['.repeat(513)}${']'.repeat(513)}}]}`, 'items[1].payload'],
      ['/api/v1/push', { items: Array(100_000).fill({ queue: 'q' }) }, 'items'],
      ['/api/v1/transaction', { operations: [{ type: 'push', items: Array(100_000).fill({ queue: 'q' }) }] }, 'operations[0].items'],
      ['/api/v1/transaction', { operations: Array(100_000).fill({ type: 'ack' }) }, 'operations'],
      ['/api/v1/ack', [], 'transactionId'],
      ['/api/v1/ack', { transactionId: 5, partitionId: 'x' }, 'transactionId'],
      ['/api/v1/ack', { transactionId: 'x' }, 'partitionId'],
      ['/api/v1/ack', { transactionId: 'x', partitionId: null }, 'partitionId'],
      ['/api/v1/ack', { transactionId: 'x', partitionId: 'x', consumerGroup: 'a\0' }, 'consumerGroup'],
      ['/api/v1/ack/batch', [], 'acknowledgments'],
      ['/api/v1/ack/batch', { acknowledgments: {} }, 'acknowledgments'],
      ['/api/v1/ack/batch', { acknowledgments: Array(100_000).fill({ transactionId: 'x', partitionId: 'x' }) }, 'acknowledgments'],
      ['/api/v1/ack/batch', { acknowledgments: [{ transactionId: 'x', partitionId: 'x' }, 'x'] }, 'acknowledgments[1].transactionId'],
      ['/api/v1/ack/batch', { acknowledgments: [{ transactionId: 'x', partitionId: 1 }] }, 'acknowledgments[0].partitionId'],
      ['/api/v1/ack/batch', { acknowledgments: [], consumerGroup: LONG }, 'consumerGroup']
    ]
    for (const [path, body, field] of bad) {
      const { status, json } = await service.call('POST', path, body)
      t.match({ status, ...json }, { status: 400, code: 'RGT_FIELD_INVALID', field, retryable: false }, `${path} ${JSON.stringify(body).slice(0, 80)}`)
    }
    const exact = await service.call('POST', '/api/v1/push', { items: [{ queue: 5 }] })
    t.same(exact.json, { success: false, error: 'items[0].queue: Queue must be a string', code: 'RGT_FIELD_INVALID', retryable: false, field: 'items[0].queue' })
    t.notOk(JSON.stringify((await service.push([{ queue: 'q', traceId: 'secret value' }])).json).includes('secret'), 'values are not repeated')
  })

  t.test('refuses names in the path or query that cannot be', async t => {
    const paths: [string, string][] = [
      ['a%00b', 'queue'], [LONG, 'queue'], ['q/partition/a%00', 'partition'], [`q/partition/${LONG}`, 'partition'],
      ['q?consumerGroup=a%00', 'consumerGroup'], [`q?consumerGroup=${LONG}`, 'consumerGroup']
    ]
    for (const [path, field] of paths) t.match(await service.pop(path), { status: 400, json: { code: 'RGT_FIELD_INVALID', field } }, path.slice(0, 40))
    t.match(await service.call('DELETE', `/api/v1/resources/queues/${LONG}`), { status: 400, json: { field: 'queue' } })
    for (const path of ['%ff', '%', '100%25%']) t.match(await rawRequest(service.url, 'GET', `/api/v1/pop/queue/${path}`, {}), { status: 400 })
  })

  t.test('a refused request stores nothing, not even its good items', async t => {
    await service.push([{ queue: 'whole', payload: 1 }, { queue: 'whole', payload: 2, traceId: 'x' }])
    t.same(await take(service, 'whole?batch=9'), [])
  })

  t.test('requests beside bad ones are unaffected', async t => {
    await pushIds(service, 'neighbours-ack', Array.from({ length: 20 }, (_, i) => `m${i}`))
    const messages = await take(service, 'neighbours-ack?batch=20')
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const message = messages[i]
      if (message === undefined) throw new Error('too few')
      const [bad1, good1, bad2, good2, bad3, good3] = await Promise.all([
        service.push([{ queue: 'neighbours', payload: 'bad' }, { queue: 'neighbours', partition: i % 2 === 0 ? '' : LONG }]),
        service.push([{ queue: 'neighbours', payload: i, transactionId: `n${i}` }]),
        service.call('POST', '/api/v1/ack', { transactionId: `m${i}`, partitionId: '\0', leaseId: '\0', status: '\0' }),
        ackOne(service, message),
        service.pop(`neighbours?consumerGroup=g${i}&subscriptionFrom=2026-02-31`),
        service.pop(`elsewhere${i}?consumerGroup=g&wait=true&timeout=20`)
      ])
      return [bad1.status, good1.status, bad2.json[0].success, good2.success, bad3.status, good3.status]
    }))
    t.same(answers, Array(20).fill([400, 201, false, true, 400, 200]))
    t.equal((await take(service, 'neighbours?batch=99')).length, 20)
    t.same(await takeIds(service, 'neighbours-ack?batch=99'), [])
  })

  t.test('answers 413 to bodies beyond the limit, with a length and without', async t => {
    const small = await startService(t, { databaseUrl: service.databaseUrl, maxBodyBytes: 2_000_000 })
    const body = (bytes: number): string => {
      const frame = '{"items":[{"queue":"large","payload":""}]}'
      return frame.replace('""', `"${'x'.repeat(bytes - frame.length)}"`)
    }
    const fits = body(2_000_000)
    t.equal(Buffer.byteLength(fits), 2_000_000)
    t.equal((await service.call('POST', '/api/v1/push', fits)).status, 201, 'the default takes more than a framework\'s')
    t.equal((await small.call('POST', '/api/v1/push', fits)).status, 201, 'exactly the limit')
    const over = body(2_000_001)
    const expected = { success: false, error: 'Request body is larger than 2000000 bytes', code: 'RGT_BODY_TOO_LARGE', retryable: false }
    const answer = await small.call('POST', '/api/v1/push', over)
    t.equal(answer.status, 413)
    t.same(answer.json, expected)
    const chunks = [over.slice(0, 1_500_000), over.slice(1_500_000)]
    const chunked = await rawRequest(small.url, 'POST', '/api/v1/push', { 'transfer-encoding': 'chunked' }, chunks)
    t.equal(chunked.status, 413)
    t.same(JSON.parse(chunked.text), expected)
    const split = await rawRequest(small.url, 'POST', '/api/v1/push', { 'transfer-encoding': 'chunked' }, [fits.slice(0, 7), fits.slice(7)])
    t.equal(split.status, 201, 'a body without a length that fits')
  })

  t.test('5xx bodies hide the detail, and a pop is answered empty instead', async t => {
    const broken = await startService(t)
    const sql = connect(t, broken.databaseUrl)
    await pushIds(broken, 'q', ['a'])
    const a = await takeOne(broken, 'q')
    // Renamed, not dropped: a drop locks table after table and may deadlock with the jobs at work.
    await sql.unsafe('alter schema regent rename to gone')
    const hidden = { success: false, error: 'Internal error', code: 'RGT_INTERNAL', retryable: false }
    for (const [path, body] of [
      ['/api/v1/push', { items: [{ queue: 'q' }] }],
      ['/api/v1/ack', { transactionId: 'a', partitionId: a.partitionId, leaseId: a.leaseId }],
      ['/api/v1/transaction', { operations: [{ type: 'push', queue: 'q' }] }],
      ['/api/v1/configure', { queue: 'q' }],
      [`/api/v1/lease/${a.leaseId}/extend`, {}]
    ] as const) {
      const { status, json } = await broken.call('POST', path, body)
      t.equal(status, 500, path)
      t.same(json, hidden)
    }
    t.same((await broken.call('DELETE', '/api/v1/resources/queues/q')).json, hidden)
    t.match(await broken.pop('q'), { status: 200, json: { success: true, messages: [] } })
  })
})
