import t from 'tap'
import { startService } from '../support.ts'
import type { Answer, Service } from '../support.ts'
import { ackBatch, ackOne, configure, pushIds, take, takeOne } from './consumer.ts'

const MILLI = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.test('one message', async t => {
  const service = await startService(t)
  const get = async (partitionId: string, id: string): Promise<Answer> =>
    await service.call('GET', `/api/v1/messages/${partitionId}/${encodeURIComponent(id)}`)

  t.test('is shown with the payload as it was sent, to the letter', async t => {
    await configure(service, 'exact', { leaseTime: 11, retryLimit: 5, retryDelay: 20, ttl: 600, priority: 3 })
    const payload = '{"n":9007199254740993,"d":1.10,"d":2,"text":"\\u0000,\\"data\\":1","__proto__":{"a":[]}}'
    const answer = await service.call('POST', '/api/v1/push', `{"items":[{"queue":"exact","transactionId":"a/b \\"c\\"","payload":${payload}}]}`)
    const { partition_id: partitionId, message_id: id } = answer.json[0]
    const { status, headers, text, json } = await get(partitionId, 'a/b "c"')
    t.equal(status, 200)
    t.match(headers.get('content-type'), /^application\/json/)
    t.ok(text.includes(`"payload":${payload}`))
    const { createdAt, payload: _payload, ...rest } = json
    t.match(createdAt, MILLI)
    t.strictSame(rest, {
      id,
      transactionId: 'a/b "c"',
      partitionId,
      queuePath: 'exact/Default',
      queue: 'exact',
      partition: 'Default',
      namespace: '',
      task: '',
      status: 'pending',
      isEncrypted: false,
      traceId: null,
      producerSub: null,
      errorMessage: null,
      retryCount: null,
      leaseExpiresAt: null,
      queueConfig: { leaseTime: 11, retryLimit: 5, retryDelay: 20, ttl: 600, priority: 3 },
      mode: { hasQueueMode: false, busGroupsCount: 0, consumedByGroups: 0, type: 'none' },
      consumerGroups: []
    })
  })

  t.test('tells what became of it in queue mode and in every group', async t => {
    await pushIds(service, 'told', ['a', 'b'])
    const a = await takeOne(service, 'told?consumerGroup=done')
    await ackOne(service, a)
    await take(service, 'told?consumerGroup=at-it')
    await take(service, 'told')
    const { json } = await get(a.partitionId, 'a')
    t.equal(json.status, 'processing')
    t.match(json.leaseExpiresAt, MILLI)
    t.strictSame(json.mode, { hasQueueMode: true, busGroupsCount: 2, consumedByGroups: 1, type: 'hybrid' })
    t.match(json.consumerGroups, [
      { name: 'at-it', consumed: false, leaseExpiresAt: MILLI }, { name: 'done', consumed: true, leaseExpiresAt: null }])
    t.strictSame((await get(a.partitionId, 'b')).json.consumerGroups, [
      { name: 'at-it', consumed: false, leaseExpiresAt: null }, { name: 'done', consumed: false, leaseExpiresAt: null }])
  })

  t.test('shows why it was given up on, also when it is left only as a dead letter', async t => {
    await configure(service, 'given-up', { retryLimit: 0 })
    await pushIds(service, 'given-up', ['a'])
    const a = await takeOne(service, 'given-up')
    await ackBatch(service, [{ message: a, status: 'failed', error: 'no such customer' }])
    const expected = { id: a.id, status: 'dead_letter', errorMessage: 'no such customer', retryCount: 0, payload: 'a', queue: 'given-up', partition: 'Default' }
    t.match((await get(a.partitionId, 'a')).json, expected)
    await service.call('DELETE', '/api/v1/queues/given-up/clear')
    t.match((await get(a.partitionId, 'a')).json, expected)
    await service.call('DELETE', '/api/v1/resources/queues/given-up')
    t.equal((await get(a.partitionId, 'a')).status, 404)
  })

  t.test('that is not there is not found; an id that is none is refused', async t => {
    const [{ partition_id: partitionId }] = (await service.push([{ queue: 'absent', transactionId: 'a' }])).json
    const missing = await get(partitionId, 'b')
    t.equal(missing.status, 404)
    t.match(missing.json, { error: 'Message not found', code: 'RGT_MESSAGE_UNKNOWN' })
    t.equal((await get('6f7d4c7e-55e3-4a2b-9d86-0f0f6c2b7a11', 'a')).status, 404)
    t.equal((await get('00000000-0000-8000-8000-000000000000', 'a')).status, 404)
    const bad = await get('1', 'a')
    t.equal(bad.status, 400)
    t.equal(bad.json.field, 'partitionId')
    t.equal((await get(partitionId, 'x'.repeat(256))).status, 400)
  })
})

t.test('an encrypted message is shown decrypted where the key is, and without payload where it is not', async t => {
  const service = await startService(t, { encryptionKey: 'ab'.repeat(32) })
  const keyless = await startService(t, { databaseUrl: service.databaseUrl })
  await configure(service, 'sealed', { encryptionEnabled: true })
  const [{ partition_id: partitionId }] = (await service.push([{ queue: 'sealed', transactionId: 'a', payload: { secret: 1.10 } }])).json
  const get = async (at: Service): Promise<Answer> => await at.call('GET', `/api/v1/messages/${partitionId}/a`)
  const shown = await get(service)
  t.equal(shown.json.isEncrypted, true)
  t.ok(shown.text.includes('"payload":{"secret":1.1}'))
  const hidden = await get(keyless)
  t.equal(hidden.status, 200)
  t.match(hidden.json, { transactionId: 'a', isEncrypted: true, payload: null, payloadError: String })
})
