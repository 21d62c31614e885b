import t from 'tap'
import { connect, createDatabase, startService, until } from '../support.ts'
import { buffered, bufferFolder, startBuffered, statuses, takeAll, untilDrained } from './support.ts'
import type { Service } from '../support.ts'

async function maintain (service: Service, enabled: boolean): Promise<void> {
  const { status, text } = await service.call('POST', '/api/v1/system/maintenance', { enabled })
  if (status !== 200) throw new Error(text)
}

async function isOn (service: Service): Promise<boolean> {
  return (await service.call('GET', '/internal/api/shared-state/stats')).json.maintenance_mode
}

t.test('while push maintenance is on, every process buffers; when it is off, every process drains', async t => {
  const databaseUrl = await createDatabase(t)
  const a = await startService(t, { databaseUrl, fileBufferDir: bufferFolder(t) })
  const b = await startService(t, { databaseUrl, fileBufferDir: bufferFolder(t) })
  await a.push([{ queue: 'q', partition: 'a', payload: 0 }, { queue: 'q', partition: 'b', payload: 0 }])
  const on = await a.call('POST', '/api/v1/system/maintenance', { enabled: true })
  t.equal(on.status, 200)
  t.match(on.json, { maintenanceMode: true, bufferedMessages: 0, bufferHealthy: true, message: /\w+ \w+/ })
  await until(async () => await isOn(b))
  for (let n = 1; n <= 3; n++) {
    t.strictSame(statuses(await a.push([{ queue: 'q', partition: 'a', payload: n }])), ['buffered'])
    t.strictSame(statuses(await b.push([{ queue: 'q', partition: 'b', payload: n }])), ['buffered'])
  }
  const sql = connect(t, databaseUrl)
  t.equal((await sql`select count(*)::int as n from regent.messages`)[0]?.n, 2, 'nothing reaches the database')
  t.match((await b.call('GET', '/api/v1/system/maintenance')).json, {
    maintenanceMode: true, bufferedMessages: 3, bufferStats: { pendingCount: 3, dbHealthy: true, state: 'maintenance', buffer: 'buffering' }
  })
  t.match((await a.call('GET', '/api/v1/status/buffers')).json, { pending: 3, failed: 0, dbHealthy: true, state: 'maintenance', bytes: Number, oldestAgeMs: Number })
  t.match((await a.call('GET', '/health')).json, { status: 'healthy', pushes: 'maintenance', file_buffer: { state: 'buffering', messages: 3 } })
  const figures = (await a.call('GET', '/metrics/prometheus')).text
  t.match(figures, /^queen_file_buffer_pending 3$/m)
  t.match(figures, /^queen_maintenance_mode_enabled 1$/m)
  t.match(figures, /^queen_push_state\{state="maintenance"\} 1$/m)

  t.equal((await a.pop('q/partition/a')).json.messages[0].data, 0, 'pops go on')
  const transaction = await a.call('POST', '/api/v1/transaction', { operations: [{ type: 'push', items: [{ queue: 'other', payload: 't' }] }] })
  t.equal(transaction.json.success, true, 'transactions too')

  await maintain(b, false)
  await untilDrained(a)
  await untilDrained(b)
  t.strictSame(await takeAll(b, 'q/partition/b'), [0, 1, 2, 3])
  await until(async () => !await isOn(a))
  t.strictSame(statuses(await a.push([{ queue: 'q', partition: 'a', payload: 4 }])), ['queued'])
  t.strictSame((await sql`select data from regent.messages where queue = 'q' and partition = 'a' order by position`).map(({ data }) => data), ['0', '1', '2', '3', '4'])
})

t.test('push maintenance survives restarts, also one while the database is away', async t => {
  const { service, proxy, folder } = await startBuffered(t)
  await maintain(service, true)
  await service.push([{ queue: 'q', payload: 1 }])
  await service.close()
  proxy.forget()
  await proxy.leave()
  const next = await startService(t, { databaseUrl: proxy.url, fileBufferDir: folder })
  t.strictSame(statuses(await next.push([{ queue: 'q', payload: 2 }])), ['buffered'])
  await proxy.comeBack()
  await until(async () => (await next.call('GET', '/health')).json.pushes === 'maintenance')
  t.equal(await buffered(next), 2)
  t.equal(proxy.count(/push_v2/), 0, 'nothing is drained before the setting has been read')
  await maintain(next, false)
  await untilDrained(next)
  t.strictSame(await takeAll(next, 'q'), [1, 2])
})

t.test('a process without a file buffer refuses pushes during maintenance', async t => {
  const databaseUrl = await createDatabase(t)
  const service = await startService(t, { databaseUrl, fileBufferDir: bufferFolder(t) })
  const without = await startService(t, { databaseUrl })
  await maintain(service, true)
  await until(async () => await isOn(without))
  const answer = await without.push([{ queue: 'q', payload: 1 }])
  t.equal(answer.status, 503)
  t.match(answer.json, { code: 'RGT_PUSHES_HELD', retryable: true })
  t.ok(answer.headers.has('retry-after'))
  await maintain(service, false)
  await until(async () => !await isOn(without))
  t.strictSame(statuses(await without.push([{ queue: 'q', payload: 1 }])), ['queued'])
})
