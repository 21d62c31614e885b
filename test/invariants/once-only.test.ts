import t from 'tap'
import { connect, startService, until } from '../support.ts'
import type { Service } from '../support.ts'

async function popAll (service: Service, path: string): Promise<{ transactionId: string, partitionId: string, leaseId: string, data: unknown, createdAt: string }[]> {
  return (await service.pop(path)).json.messages
}

t.test('a transaction repeated under a lease that is still live is refused and pushes nothing more', async t => {
  const service = await startService(t)
  await service.push([1, 2, 3].map(payload => ({ queue: 'in', payload })))
  const [first, second] = await popAll(service, 'in?batch=3')
  const body = (ack: unknown): object => ({ operations: [{ ...ack as object, type: 'ack' }, { type: 'push', items: [{ queue: 'out', payload: 1 }] }] })
  t.match((await service.call('POST', '/api/v1/transaction', body(first))).json, { success: true })
  t.match((await service.call('POST', '/api/v1/transaction', body(first))).json,
    { success: false, error: 'ACK operation failed: Message already acknowledged', results: [] })
  t.match((await service.call('POST', '/api/v1/transaction', body(second))).json, { success: true }, 'the lease goes on')
  t.equal((await popAll(service, 'out?batch=10')).length, 2)
})

t.test('an expired lease does not come back to life through a failure that names no lease', async t => {
  const service = await startService(t)
  await service.call('POST', '/api/v1/configure', { queue: 'q', options: { leaseTime: 1, retryDelay: 60_000 } })
  await service.push([{ queue: 'q', payload: 1 }])
  const [message] = await popAll(service, 'q')
  if (message === undefined) throw new Error('nothing was delivered')
  const sql = connect(t, service.databaseUrl)
  await until(async () => (await sql`select from regent.cursors where available_at < clock_timestamp()`).length === 1)
  const { transactionId, partitionId, leaseId } = message
  t.match((await service.call('POST', '/api/v1/ack', { transactionId, partitionId, status: 'failed' })).json, [{ success: true }])
  t.not((await service.call('POST', `/api/v1/lease/${leaseId}/extend`, {})).status, 200)
  t.match((await service.call('POST', '/api/v1/ack', message)).json, [{ success: false, error: 'Invalid or expired lease' }])
})

t.test('messages are available at once when the delay that held them is taken away', async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  await service.call('POST', '/api/v1/configure', { queue: 'q', options: { delayedProcessing: 3600 } })
  await service.push([{ queue: 'q', payload: 1 }])
  const parked = service.pop('q?wait=true&timeout=20000')
  const sql = connect(t, service.databaseUrl)
  await until(async () => (await sql`select from regent.cursors where available_at > clock_timestamp() and available_at < 'infinity'`).length === 1)
  await service.call('POST', '/api/v1/configure', { queue: 'q' })
  t.match((await parked).json, { messages: [{ data: 1 }] })
})

t.test('a process that has fallen far behind checks for duplicates without taking all of it over', async t => {
  const service = await startService(t)
  await service.push([{ queue: 'q', payload: 0, transactionId: 'first' }])
  const sql = connect(t, service.databaseUrl)
  // As another process would have, 150,000 messages in segments of 1000.
  await sql`
    select count(*) from generate_series(1, 150) as s(n) cross join lateral regent.push_v2('{}', '{}',
      array(select id from regent.partitions), array(select push_version from regent.partitions), '{-2}', '{3600}', '{1}', '{1000}',
      array(select (s.n * 1000000 + i)::bigint from generate_series(1, 1000) as i),
      (select string_agg('{"transactionId":"o' || s.n || '-' || i || '","traceId":null,"producerSub":null,"data":1}', E'\n' order by i) from generate_series(1, 1000) as i))`
  for (const transactionId of ['first', 'second', 'second']) await service.push([{ queue: 'q', payload: 0, transactionId }])
  const rows = await sql`select transaction_id from regent.messages where transaction_id in ('first', 'second') order by position`
  t.same(rows.map(row => row.transaction_id), ['first', 'second'])
  t.match((await service.push([{ queue: 'q', payload: 0, transactionId: 'first' }])).json, [{ status: 'duplicate' }])
})
