// JSON nested so deeply that a recursive reader would overflow the stack, at every place where JSON is read.
import t from 'tap'
import { startService } from '../support.ts'

const DEPTH = 100_000

const nests: Record<string, string> = {
  arrays: '['.repeat(DEPTH) + ']'.repeat(DEPTH),
  objects: '{"a":'.repeat(DEPTH) + '1' + '}'.repeat(DEPTH),
  both: '[{"a":'.repeat(DEPTH) + '1' + '}]'.repeat(DEPTH),
  'arrays that do not end': '['.repeat(DEPTH),
  'objects that do not end': '{"a":'.repeat(DEPTH)
}

/** Bodies with a place for a value, by route. */
const places: [string, string][] = [
  ['/api/v1/push', '{"items":[{"queue":"q","payload":?}]}'],
  ['/api/v1/push', '{"items":[{"queue":"q","unknown":?}]}'],
  ['/api/v1/push', '{"items":[{"queue":?}]}'],
  ['/api/v1/push', '{"items":?}'],
  ['/api/v1/push', '{"around":?,"items":[{"queue":"q"}]}'],
  ['/api/v1/push', '?'],
  ['/api/v1/transaction', '{"operations":[{"type":"push","items":[{"queue":"q","payload":?}]}]}'],
  ['/api/v1/transaction', '{"operations":[{"type":"push","queue":"q","payload":?}]}'],
  ['/api/v1/transaction', '{"operations":[{"type":?}]}'],
  ['/api/v1/transaction', '{"operations":[?]}'],
  ['/api/v1/ack', '{"transactionId":"t","partitionId":"p","error":?}'],
  ['/api/v1/ack/batch', '{"acknowledgments":[{"transactionId":"t","partitionId":?}]}'],
  ['/api/v1/configure', '{"queue":"q","options":{"leaseTime":?}}'],
  ['/api/v1/traces', '{"transactionId":"t","partitionId":"p","data":?}'],
  ['/api/v1/lease/none/extend', '{"seconds":?}'],
  ['/api/v1/dlq/redrive', '{"queue":?}'],
  ['/api/v1/dlq/purge', '{"queue":?}'],
  ['/api/v1/consumer-groups/g/queues/q/seek', '{"timestamp":?}'],
  ['/api/v1/system/maintenance/pop', '{"enabled":?}']
]

t.test(`${DEPTH} brackets are answered 400, wherever they stand`, async t => {
  const service = await startService(t)
  for (const [path, body] of places) {
    for (const [what, nest] of Object.entries(nests)) {
      const { status, json } = await service.call('POST', path, body.replace('?', nest))
      t.match({ status, ...json }, { status: 400, code: /^RGT_(BODY_TOO_DEEP|FIELD_INVALID)$/, retryable: false }, `${path} ${body}: ${what}`)
    }
  }
  // A key may be of any length; what it would name is looked up without a walk.
  const keys = `{"items":[{"queue":"keys","${'['.repeat(DEPTH)}":1,"payload":{"${'{'.repeat(DEPTH)}":1,"__proto__":{"x":1}}}]}`
  t.equal((await service.call('POST', '/api/v1/push', keys)).status, 201)
  t.same((await service.pop('q')).json.messages, [])
  t.equal((await service.pop('keys')).json.messages.length, 1)
})

t.test('where such depth is allowed, what was stored can be shown, acknowledged, dead-lettered and put back', async t => {
  const service = await startService(t, { maxDepth: DEPTH })
  const { arrays, objects } = nests as { arrays: string, objects: string }
  const pushed = await service.call('POST', '/api/v1/push', `{"items":[{"queue":"q","transactionId":"a","payload":${arrays}},{"queue":"q","transactionId":"b","payload":${objects}}]}`)
  t.equal(pushed.status, 201)
  const { text } = await service.pop('q?batch=2')
  t.ok(text.includes(arrays) && text.includes(objects))
  const { partitionId, leaseId } = JSON.parse(text)
  t.ok((await service.call('GET', `/api/v1/messages/${partitionId}/a`)).text.includes(arrays))
  t.equal((await service.call('GET', '/api/v1/messages?queue=q')).status, 200)
  const acknowledgments = [{ transactionId: 'a', partitionId, leaseId, status: 'dlq' }, { transactionId: 'b', partitionId, leaseId }]
  t.match((await service.call('POST', '/api/v1/ack/batch', { acknowledgments })).json, [{ success: true }, { success: true }])
  t.ok((await service.call('GET', '/api/v1/dlq?queue=q')).text.includes(arrays))
  t.match((await service.call('POST', '/api/v1/dlq/redrive', { queue: 'q' })).json, { redriven: 1 })
  t.ok((await service.pop('q')).text.includes(arrays))
})
