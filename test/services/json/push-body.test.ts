import t from 'tap'
import { FieldError } from '../../../services/json/field-error.ts'
import { readPushBody, type PushItem } from '../../../services/json/push-body.ts'
import { JsonSyntaxError } from '../../../services/json/reader.ts'
import { decodeUtf8 } from '../../../services/json/text.ts'

const LIMITS = { maxItems: 5, maxDepth: 512 }
const TRACE_ID = '0190a0b2-7c3d-7e4f-8a5b-0123456789ab'

function read (text: string): PushItem[] {
  return readPushBody(text, LIMITS).items
}

function refusal (text: string): { field: string, reason: string, message: string } {
  try {
    read(text)
  } catch (error) {
    if (error instanceof FieldError) return { field: error.field, reason: error.reason, message: error.message }
    throw error
  }
  throw new Error('the body was accepted')
}

t.test('reads the fields of each item and fills in what is absent', async t => {
  t.same(read(' { "items" : [ ] } '), [])
  t.same(read(`{"v":[{}],"items":[
    {"queue":"orders","partition":"p","payload":{"a":1},"transactionId":"t","traceId":"${TRACE_ID.toUpperCase()}"},
    {"queue":"orders","transactionId":"","traceId":"","priority":{"x":[1]},"payloads":2},
    {"\\u0071ueue":"caf\\u00e9 \\ud83c\\udf89","payload":null}
  ],"w":"}"}`), [
    { queue: 'orders', partition: 'p', payload: '{"a":1}', transactionId: 't', traceId: TRACE_ID },
    { queue: 'orders', partition: 'Default', payload: 'null', transactionId: null, traceId: null },
    { queue: 'café \u{1f389}', partition: 'Default', payload: 'null', transactionId: null, traceId: null }
  ])
})

t.test('keeps the payload byte for byte', async t => {
  const payloads = [
    '9007199254740993', '1.10', '1e400', '-0', '{"b":1,"a":2}', '{"a":1,"a":2}', '"\\u0000"', '{"__proto__":{"x":1}}',
    '"\\ud800"', '"\\uDFFF\\ud83c"', '"\u{1f389} é \u2028"', '{ "a" :\t[ ] }', '""', 'false', '"\\/\\u0041"',
    '['.repeat(500) + ']'.repeat(500)
  ]
  for (const payload of payloads) {
    const body = Buffer.from(`{"items":[{"payload": ${payload} ,"queue":"q"}]}`)
    t.equal(read(decodeUtf8(body) ?? '')[0]?.payload, payload)
  }
})

t.test('puts a payload of several lines on one', async t => {
  t.equal(read('{"items":[{"queue":"q","payload":{\r\n"a":"\\n",\n"b":1}}]}')[0]?.payload, '{  "a":"\\n", "b":1}')
})

t.test('reads a payload of five megabytes', async t => {
  const payload = `{"text":"${'\u{1f389}é'.repeat(1_700_000)}"}`
  t.ok(read(`{"items":[{"queue":"q","payload":${payload}}]}`)[0]?.payload === payload)
})

t.test('of equal keys the last one counts, even after a faulty one', async t => {
  t.same(read('{"items":1,"items":[{"queue":5,"payload":1,"traceId":"x","queue":"b","payload":2,"traceId":""}]}'), [
    { queue: 'b', partition: 'Default', payload: '2', transactionId: null, traceId: null }
  ])
  t.equal(refusal('{"items":[{"queue":"a","queue":null}]}').reason, 'type')
  t.equal(refusal('{"items":[],"items":{}}').message, 'items array is required')
})

t.test('requires the items array', async t => {
  for (const text of ['{}', '[]', '"items"', 'null', '5', '{"items":null}', '{"items":{}}', '{"items":"[]"}', '{"Items":[]}']) {
    t.same(refusal(text), { field: 'items', reason: 'required', message: 'items array is required' })
  }
})

t.test('names the field and the fault of the first bad item', async t => {
  const faults: Array<[item: string, field: string, reason: string, sentence: string]> = [
    ['5', 'queue', 'type', 'Queue must be a string'],
    ['null', 'queue', 'type', 'Queue must be a string'],
    ['["queue"]', 'queue', 'type', 'Queue must be a string'],
    ['{}', 'queue', 'required', 'Queue must be a string'],
    ['{"queue":null}', 'queue', 'type', 'Queue must be a string'],
    ['{"queue":["q"]}', 'queue', 'type', 'Queue must be a string'],
    ['{"queue":""}', 'queue', 'empty', 'Queue must not be empty'],
    ['{"queue":"\\u0000"}', 'queue', 'nul', 'Queue must not contain a NUL character'],
    ['{"queue":"\\ud800"}', 'queue', 'unpaired_surrogate', 'Queue must not contain an unpaired surrogate'],
    [`{"queue":"${'q'.repeat(256)}"}`, 'queue', 'too_long', 'Queue must be at most 255 characters'],
    ['{"queue":"q","partition":null}', 'partition', 'type', 'Partition must be a string'],
    ['{"queue":"q","partition":7}', 'partition', 'type', 'Partition must be a string'],
    ['{"queue":"q","partition":""}', 'partition', 'empty', 'Partition must not be empty'],
    ['{"queue":"q","transactionId":null}', 'transactionId', 'type', 'TransactionId must be a string'],
    ['{"queue":"q","transactionId":"a\\u0000"}', 'transactionId', 'nul', 'TransactionId must not contain a NUL character'],
    ['{"queue":"q","traceId":null}', 'traceId', 'type', 'TraceId must be a string'],
    ['{"queue":"q","traceId":{}}', 'traceId', 'type', 'TraceId must be a string'],
    ['{"queue":"q","traceId":"abc"}', 'traceId', 'not_a_uuid', 'TraceId must be a UUID'],
    // the order of the checks
    ['{"traceId":1,"transactionId":1,"queue":1,"partition":1}', 'partition', 'type', 'Partition must be a string'],
    ['{"traceId":1,"transactionId":1,"queue":1}', 'queue', 'type', 'Queue must be a string'],
    ['{"traceId":1,"transactionId":1,"queue":"q"}', 'transactionId', 'type', 'TransactionId must be a string']
  ]
  for (const [item, name, reason, sentence] of faults) {
    const field = `items[2].${name}`
    t.same(refusal(`{"items":[{"queue":"a"},{"queue":"b"},${item},{}]}`), { field, reason, message: `${field}: ${sentence}` })
  }
})

t.test('refuses an oversized batch without walking the rest', async t => {
  const item = '{"queue":"q"}'
  t.equal(read(`{"items":[${Array(5).fill(item).join()}]}`).length, 5)
  t.same(refusal(`{"items":[${Array(5).fill(item).join()},@@@ not even JSON`), {
    field: 'items', reason: 'too_many', message: 'items: At most 5 items are allowed'
  })
})

t.test('counts the depth of a payload from its own root', async t => {
  const nested = (depth: number): string => `{"items":[{"queue":"q","payload":${'['.repeat(depth)}${']'.repeat(depth)}}]}`
  t.equal(read(nested(512)).length, 1)
  const fault = { field: 'items[0].payload', reason: 'depth', message: 'items[0].payload: Payload must not be nested deeper than 512 levels' }
  t.same(refusal(nested(513)), fault)
  t.same(refusal(nested(100_000)), fault)
  t.throws(() => read(nested(513)), { cause: { code: 'depth' } })
})

t.test('refuses deep nesting under a key it does not know', async t => {
  const deep = '['.repeat(100_000)
  for (const text of [`{"x":${deep}`, `{"items":[{"x":${deep}`, `{"items":[{"queue":${deep}`, `{"items":${'{"a":'.repeat(1000)}`, deep]) {
    t.throws(() => read(text), { name: 'JsonSyntaxError', code: 'depth' })
  }
})

t.test('refuses text that is not JSON, known key or not', async t => {
  for (const text of [
    '', '{', '{"items":[', '{"items":[{"queue":"q"}]', '{"items":[{"queue":"q"},]}', '{"items":[{"queue":"q"}]}}',
    '{"items":[{"queue":"q","payload":}]}', '{"items":[{"queue":"q","payload":01}]}', '{"items":[{"queue":"q","payload":"\n"}]}',
    '{"items":[{"queue":"q","x":tru}]}', '{"x":+1,"items":[]}', '{"items":[{queue:"q"}]}', '{"items":[],}', '[1', '{}x', '\ufeff{}'
  ]) {
    t.throws(() => read(text), JsonSyntaxError, JSON.stringify(text))
  }
})
