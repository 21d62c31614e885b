// Everything the service does, with a database role that owns one schema and may do nothing else.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { loadMigrations } from '../../services/database/migrate.ts'
import { PATIENT, ackBatch, ackOne, configure, pushIds, take, takeIds, takeOne } from '../routes/consumer.ts'
import { connect, startService, until } from '../support.ts'
import type { Service } from '../support.ts'
import { createSchemaOwner } from './role.ts'

const SCHEMA = 'own_queue'

t.test('a role that owns its schema and nothing else is enough', async t => {
  const { role, url, adminUrl } = await createSchemaOwner(t, SCHEMA)
  const admin = connect(t, adminUrl)
  const start = async (workerId: string): Promise<Service> =>
    await startService(t, { databaseUrl: url, databaseSchema: SCHEMA, safetyNetMs: 0, retentionIntervalMs: 1000, workerId })
  // A migration may take longer than anything a role is otherwise allowed to.
  await admin.unsafe(`alter role ${role} set statement_timeout = '1ms'`)
  const first = await start('first-1')
  await admin.unsafe(`alter role ${role} reset statement_timeout`)

  t.test('the role may neither make schemas nor write elsewhere, and is no superuser', async t => {
    const limited = connect(t, url, 1)
    for (const refused of ['create schema other', 'create table public.other (n int)', 'create temp table other (n int)']) {
      await t.rejects(limited.unsafe(refused), { code: '42501' }, refused)
    }
    const [rights] = await admin`select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = ${role}`
    t.same(rights, { rolsuper: false, rolcreatedb: false, rolcreaterole: false })
  })

  t.test('the first start makes everything in that schema, and a second one finds it', async t => {
    const steps = async (): Promise<object[]> => [...await admin`select name, checksum, applied_at from own_queue.migrations order by name collate "C"`]
    const made = await steps()
    const { migrations } = await loadMigrations()
    t.equal(made.length, migrations.length + 1)
    const strangers = await admin`select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where pg_get_userbyid(c.relowner) = ${role} and n.nspname not in (${SCHEMA}, 'pg_toast')`
    t.same([...strangers], [], 'nothing is made elsewhere')
    const again = await start('again-1')
    t.same(await steps(), made)
    await again.close()
  })

  t.test('push, pop, duplicates, acknowledgements, transactions', async t => {
    await pushIds(first, 'orders', ['a', 'b', 'c'])
    t.match((await first.push([{ queue: 'orders', transactionId: 'a', payload: 1 }])).json, [{ status: 'duplicate' }])
    const [a, b, c] = await take(first, 'orders?batch=3&consumerGroup=g')
    if (a === undefined || b === undefined || c === undefined) throw new Error('three messages were pushed')
    t.match(await ackBatch(first, [{ message: a }], 'g'), [{ success: true }])
    const { status, json } = await first.call('POST', '/api/v1/transaction', {
      operations: [
        { type: 'ack', transactionId: b.transactionId, partitionId: b.partitionId, leaseId: b.leaseId, consumerGroup: 'g' },
        { type: 'push', items: [{ queue: 'invoices', transactionId: 'i', payload: 1 }] }
      ]
    })
    t.match({ status, json }, { status: 200, json: { success: true } })
    t.same(await takeIds(first, 'invoices'), ['i'])
    t.equal((await first.call('POST', `/api/v1/lease/${c.leaseId}/extend`, { seconds: 60 })).status, 200)
  })

  t.test('dead letters are kept and put back', async t => {
    await configure(first, 'failing', { retryLimit: 0 })
    await pushIds(first, 'failing', ['f'])
    await ackOne(first, await takeOne(first, 'failing'), { status: 'failed', error: 'no' })
    t.match((await first.call('GET', '/api/v1/dlq?queue=failing')).json, { total: 1, messages: [{ transactionId: 'f', errorMessage: 'no' }] })
    t.equal((await first.call('POST', '/api/v1/dlq/redrive', { queue: 'failing' })).status, 200)
    t.equal((await takeOne(first, `failing?${PATIENT}`)).data, 'f')
  })

  t.test('another instance hears of a push', async t => {
    const second = await start('second-2')
    const waiting = takeIds(second, `heard?${PATIENT}`)
    await until(async () => (await second.call('GET', '/health')).json.load.parkedPops === 1)
    await pushIds(first, 'heard', ['x'])
    t.same(await waiting, ['x'])
    await second.close()
  })

  t.test('the jobs run: what has been completed is deleted', async () => {
    await configure(first, 'short-lived', { retentionEnabled: true, completedRetentionSeconds: 1 })
    await pushIds(first, 'short-lived', ['gone'])
    await takeIds(first, 'short-lived?autoAck=true')
    await until(async () => (await admin`select from own_queue.messages where queue = 'short-lived'`).length === 0, 30_000)
    await first.call('DELETE', '/api/v1/resources/queues/short-lived')
    await until(async () => (await admin`select from own_queue.removals`).length === 0, 30_000)
  })

  t.test('status, history and the figures of the database can be read', async t => {
    for (const path of ['/health', '/api/v1/status', '/api/v1/resources/overview', '/api/v1/analytics/postgres-stats', '/metrics/prometheus', '/api/v1/consumer-groups', '/api/v1/traces/names']) {
      const { status, text } = await first.call('GET', path)
      t.equal(status, 200, `${path}: ${text.slice(0, 200)}`)
    }
    t.equal((await first.call('POST', '/api/v1/stats/refresh')).status, 200)
  })

  t.test('a request through a channel is replied to', async t => {
    const path = `/api/v1/channels/${randomUUID()}/requests`
    const asked = first.call('POST', path, 'hello')
    const taken = await first.call('GET', `${path}/next?wait=true&timeout=15000`)
    t.equal(taken.text, 'hello')
    t.equal((await first.call('POST', taken.headers.get('location') ?? '', 'HELLO')).status, 200)
    t.equal((await asked).text, 'HELLO')
  })
})
