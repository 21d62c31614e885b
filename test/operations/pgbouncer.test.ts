// Calls through PgBouncer in transaction mode; notifications, jobs and migrations beside it.
import { join } from 'node:path'
import t from 'tap'
import { readEnvironment, readRegentOptions } from '../../services/options.ts'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { PATIENT, ackBatch, configure, pushIds, take, takeIds, takeOne } from '../routes/consumer.ts'
import { connect, createDatabase, startService, until } from '../support.ts'
import type { Service } from '../support.ts'
import { isMissing, startPgBouncer } from './pgbouncer.ts'

const CONNECTIONS = 3
// Far above the timeout that the role has, far below the test's.
const CALL_TIMEOUT_MS = 60_000

t.test('a pooler alone is refused at the start: there has to be a direct way besides', async t => {
  const url = 'postgres://u@pooler/d'
  t.throws(() => readEnvironment({ DB_POOLER_URL: url }), { code: 'RGT_OPTIONS_INVALID', message: /^ {2}DB_POOLER_URL: needs DATABASE_URL or PG_HOST/m })
  t.throws(() => readRegentOptions({ databasePoolerUrl: url }), { code: 'RGT_OPTIONS_INVALID', message: /databaseUrl or databaseHost: is required/ })
  for (const direct of ['DATABASE_URL', 'PG_HOST']) t.equal(readEnvironment({ DB_POOLER_URL: url, [direct]: 'postgres://db/d' }).regent.databasePoolerUrl, url)
  t.throws(() => readEnvironment({ DATABASE_URL: 'postgres://db/d', DB_POOLER_URL: 'postgres://u:a#b@pooler' }), { message: /DB_POOLER_URL: must be a URL/ })
})

t.test('through PgBouncer in transaction mode', { skip: isMissing }, async t => {
  const pooler = await startPgBouncer(t, CONNECTIONS)
  const databaseUrl = await createDatabase(t)
  const sql = connect(t, databaseUrl)
  const database = new URL(databaseUrl).pathname.slice(1)
  // As docs/operations/pgbouncer.md has it: what is not said by sessions is said by the role.
  await sql.unsafe(`alter role current_user in database ${database} set lock_timeout = '2s'`)
  await sql.unsafe(`alter role current_user in database ${database} set jit = off`)
  const start = async (workerId: string): Promise<Service> => await startService(t, {
    databaseUrl,
    databasePoolerUrl: pooler.through(databaseUrl),
    safetyNetMs: 0,
    callTimeoutMs: CALL_TIMEOUT_MS,
    retentionIntervalMs: 1000,
    fileBufferDir: join(makeFolder(t), 'buffer'),
    workerId
  })
  const first = await start('first-1')
  const second = await start('second-2')

  t.test('many calls share few connections, whatever statements they had before', async t => {
    const consumers = Array.from({ length: 8 }, async (_, i) => {
      const service = i % 2 === 0 ? first : second
      for (let n = 0; n < 10; n++) {
        await pushIds(service, `q${i}`, [`${n}-a`, `${n}-b`], `p${n % 3}`)
        const messages = await take(service, `q${i}?batch=10&partitions=3`)
        t.equal(messages.length, 2)
        for (const { success } of await ackBatch(service, messages.map(message => ({ message })))) t.ok(success)
      }
      return await takeIds(service, `q${i}?batch=10&partitions=3`)
    })
    t.same((await Promise.all(consumers)).flat(), [], 'each came once')
    const sessions = await sql`select application_name from pg_stat_activity
      where datname = current_database() and application_name like 'regent%' and application_name not like '% notify' and application_name not like '% jobs'`
    t.ok(sessions.length > 0 && sessions.length <= CONNECTIONS, `${sessions.length} connections for calls`)
    const through = connect(t, pooler.through(databaseUrl), 1)
    t.same([...await through.unsafe("select statement from pg_prepared_statements where statement like '%regent%'")], [], 'nothing is left behind for the next who has that connection')
  })

  t.test('as the only way there is it is refused at once, and what to do is said', async t => {
    await t.rejects(startService(t, { databaseUrl: pooler.through(databaseUrl), fileBufferDir: join(makeFolder(t), 'buffer') }),
      { code: 'RGT_DATABASE_UNSUITABLE', message: /DATABASE_URL has to lead to PostgreSQL itself, the pooler goes into DB_POOLER_URL/ })
  })

  t.test('a repeated push is stored once, through whichever instance', async t => {
    await pushIds(first, 'once', ['a', 'b'])
    for (const service of [first, second]) {
      t.match((await service.push([{ queue: 'once', transactionId: 'a', payload: 1 }, { queue: 'once', transactionId: 'b', payload: 1 }])).json,
        [{ status: 'duplicate' }, { status: 'duplicate' }])
    }
    t.same(await takeIds(first, 'once?batch=10'), ['a', 'b'])
  })

  t.test('a waiting pop is woken by a push in its own process and in another one', async t => {
    for (const pushing of [first, second]) {
      const waiting = takeIds(first, `woken?${PATIENT}&autoAck=true`)
      await until(async () => (await first.call('GET', '/health')).json.load.parkedPops === 1)
      await pushIds(pushing, 'woken', ['x'], pushing === first ? 'own' : 'other')
      t.same(await waiting, ['x'])
    }
  })

  t.test('one instance runs the jobs: what has been completed is deleted', async t => {
    await configure(first, 'short-lived', { retentionEnabled: true, completedRetentionSeconds: 1 })
    await pushIds(first, 'short-lived', ['gone'])
    await takeIds(second, 'short-lived?autoAck=true')
    await until(async () => (await sql`select from regent.messages where queue = 'short-lived'`).length === 0, 30_000)
    const holders = await sql`select distinct pid from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`
    t.equal(holders.length, 1, 'its lock is held by a session')
  })

  t.test('the timeouts of the role hold: a push that waits for a lock is answered 503, and nothing was changed', async t => {
    await pushIds(first, 'locked', ['before'])
    const holder = await sql.reserve()
    try {
      await holder`begin`
      await holder`select from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = 'locked' for update of p`
      t.match(await first.push([{ queue: 'locked', transactionId: 'late', payload: 1 }]), { status: 503, json: { code: 'RGT_DATABASE_SLOW' } })
    } finally {
      await holder`rollback`
      holder.release()
    }
    t.same(await takeIds(first, 'locked?batch=10'), ['before'])
  })

  t.test('a pooler that is away is a database that is away: pushes are buffered, and stored when it is back', async t => {
    await pooler.stop()
    const items = ['a', 'b'].map(transactionId => ({ queue: 'away', transactionId, payload: transactionId }))
    for (const item of items) t.match(await first.push([item]), { status: 201, json: [{ status: 'buffered' }] })
    t.equal((await first.call('GET', '/health')).status, 503)
    await pooler.start()
    t.equal((await takeOne(second, `away?${PATIENT}`)).data, 'a')
    await until(async () => (await first.call('GET', '/health')).status === 200)
    const stored = async (): Promise<string[]> => (await sql`select transaction_id from regent.messages where queue = 'away' order by position`).map(row => row.transaction_id)
    await until(async () => (await stored()).length === items.length, 30_000)
    t.same(await stored(), ['a', 'b'])
  })
})
