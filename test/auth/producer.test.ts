import t from 'tap'
import { startService, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { sign, startProtected } from './support.ts'
import type { Protected } from './support.ts'

const FORGED = { producerSub: 'root', sub: 'root', payload: 1 }

/** Who the messages of a queue are from, in order. */
async function producers (service: Protected, token: string, queue: string): Promise<(string | null)[]> {
  const { json } = await service.as(token, 'GET', `/api/v1/pop/queue/${queue}?batch=100&autoAck=true`)
  return (json.messages as { producerSub: string | null }[]).map(message => message.producerSub)
}

t.test('messages are from the subject of the token they were pushed with, whatever the client writes', async t => {
  const service = await startProtected(t, { jwtSkipPaths: '/' })
  const token = await sign({ sub: 'us"er\n', role: 'admin' })
  const push = async (token: string | null): Promise<Answer> => await service.as(token, 'POST', '/api/v1/push', { items: [{ queue: 'q', ...FORGED }], producerSub: 'root' })
  t.equal((await push(token)).status, 201)
  await push(await sign({ role: 'admin' }))
  await push(await sign({ sub: 'x'.repeat(255), role: 'produce-only' }))
  t.same((await service.as(token, 'GET', '/api/v1/messages?queue=q')).json.messages.map((message: { producerSub: string | null }) => message.producerSub).sort(),
    [null, 'us"er\n', 'x'.repeat(255)].sort())
  t.same(await producers(service, token, 'q'), ['us"er\n', null, 'x'.repeat(255)])

  await service.as(token, 'POST', '/api/v1/transaction', { operations: [{ type: 'push', items: [{ queue: 'r', ...FORGED }] }] })
  t.same(await producers(service, token, 'r'), ['us"er\n'], 'transactions too')
})

t.test('a duplicate stays what it was, and a dead letter that is put back is still from its producer', async t => {
  const service = await startProtected(t)
  const [first, second] = await Promise.all(['first', 'second'].map(async sub => await sign({ sub, role: 'admin' }))) as [string, string]
  for (const token of [first, second]) await service.as(token, 'POST', '/api/v1/push', { items: [{ queue: 'q', transactionId: 'same' }] })
  const [message] = (await service.as(second, 'GET', '/api/v1/pop/queue/q')).json.messages
  t.equal(message.producerSub, 'first')
  await service.as(second, 'POST', '/api/v1/ack', { ...message, status: 'dlq', consumerGroup: null })
  t.match((await service.as(second, 'GET', '/api/v1/dlq?queue=q')).json.messages, [{ producerSub: 'first' }])
  t.match(await service.as(second, 'POST', '/api/v1/dlq/redrive', { queue: 'q' }), { json: { redriven: 1 } })
  t.same(await producers(service, second, 'q'), ['first'])
})

t.test('messages that wait in the file buffer keep their producer', async t => {
  const service = await startProtected(t, { fileBufferDir: t.testdir() })
  const token = await sign({ sub: 'buffered', role: 'admin' })
  await service.as(token, 'POST', '/api/v1/system/maintenance', { enabled: true })
  t.match(await service.as(token, 'POST', '/api/v1/push', { items: [{ queue: 'q', ...FORGED }] }), { json: [{ status: 'buffered' }] })
  await service.as(token, 'POST', '/api/v1/system/maintenance', { enabled: false })
  let found: (string | null)[] = []
  await until(async () => {
    found = await producers(service, token, 'q')
    return found.length > 0
  }, 30_000)
  t.same(found, ['buffered'])
})

t.test('without authentication, and on paths that are exempt from it, messages are from nobody', async t => {
  const open = await startService(t)
  const token = await sign({ sub: 'somebody', role: 'admin' })
  await open.call('POST', '/api/v1/push', { items: [{ queue: 'q', ...FORGED }] }, { headers: { authorization: `Bearer ${token}` } })
  t.equal((await open.pop('q')).json.messages[0].producerSub, null)
  const exempt = await startProtected(t, { jwtSkipPaths: '/api/v1/push', databaseUrl: open.databaseUrl })
  t.equal((await exempt.as(token, 'POST', '/api/v1/push', { items: [{ queue: 'r' }] })).status, 201)
  t.same(await producers(exempt, token, 'r'), [null])
})
