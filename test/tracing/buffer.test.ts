import t from 'tap'
import { createDatabase, startService } from '../support.ts'
import { bufferFolder, buffered, untilDrained } from '../failover/support.ts'
import { PARENT, traceparent } from './contexts.ts'

t.test('the context of a push that was buffered is there after a restart, with and without encryption', async t => {
  const options = { databaseUrl: await createDatabase(t), fileBufferDir: bufferFolder(t), encryptionKey: '0f'.repeat(32) }
  const before = await startService(t, options)
  await before.call('POST', '/api/v1/configure', { queue: 'secret', options: { encryptionEnabled: true } })
  await before.call('POST', '/api/v1/system/maintenance', { enabled: true })
  for (const queue of ['clear', 'secret']) {
    const body = JSON.stringify({ items: [{ queue, payload: 1 }, { queue, payload: 2, traceparent: traceparent(2) }, { queue, payload: 3, traceparent: traceparent(3), tracestate: 'own=1' }] })
    t.match((await before.call('POST', '/api/v1/push', undefined, { body, headers: { traceparent: PARENT, tracestate: 'a=1' } })).json, [{ status: 'buffered' }])
  }
  t.equal(await buffered(before), 6)
  await before.close()

  const after = await startService(t, options)
  t.equal(await buffered(after), 6)
  await after.call('POST', '/api/v1/system/maintenance', { enabled: false })
  await untilDrained(after)
  for (const queue of ['clear', 'secret']) {
    t.strictSame((await after.pop(`${queue}?batch=10`)).json.messages.map(({ traceparent, tracestate, data }: Record<string, unknown>) => [data, traceparent, tracestate]),
      [[1, PARENT, 'a=1'], [2, traceparent(2), undefined], [3, traceparent(3), 'own=1']])
  }
})
