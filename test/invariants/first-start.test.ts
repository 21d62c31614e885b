import t from 'tap'
import { migrate } from '../../services/database/migrate.ts'
import { connect, createDatabase, startService, until } from '../support.ts'
import { all, hold, numbers, pick, pop, push } from './support.ts'
import type postgres from 'postgres'

/** What is in the schema, name by name. */
async function shapeOf (sql: postgres.Sql): Promise<unknown[]> {
  const rows = await sql`
    select 'column' as kind, table_name || '.' || column_name as name, data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '') as is
      from information_schema.columns where table_schema = 'regent'
    union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'regent'
    union all select 'function', oid::regprocedure::text, md5(prosrc || coalesce(proconfig::text, '')) from pg_proc where pronamespace = 'regent'::regnamespace
    union all select 'view', viewname, definition from pg_views where schemaname = 'regent'
    union all select 'step', name, checksum from regent.migrations
    order by 1, 2, 3`
  return [...rows]
}

function connectionTo (url: string): Parameters<typeof migrate>[0] {
  return { url, schema: 'regent', applicationName: 'migrating', connectTimeoutMs: 2000, statementTimeoutMs: 30_000, lockTimeoutMs: 10_000 }
}

/** End the session that migrates, once it waits for us in the middle of a step. */
async function killWaiting (sql: postgres.Sql): Promise<void> {
  await until(async () => (await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%regent_step%'`).length > 0)
}

t.test('ten instances that start at once on an empty database all start, on one right schema', async t => {
  const single = await startService(t)
  const wanted = await shapeOf(connect(t, single.databaseUrl))
  t.ok(wanted.length > 50)
  const databaseUrl = await createDatabase(t)
  const services = await all(numbers(10).map(async () => await startService(t, { databaseUrl, safetyNetMs: 0, poolSize: 3 })))
  t.strictSame(await shapeOf(connect(t, databaseUrl)), wanted, 'the schema is that of a single start')
  await all(services.map(async (service, i) => { await push(service, [{ queue: 'q', partition: `p${i}`, transactionId: `m${i}`, payload: i }]) }))
  const messages = await pop(pick(services, 7), 'q?batch=100&partitions=100')
  t.strictSame(messages.map(message => message.transactionId).sort(), numbers(10).map(i => `m${i}`))
})

// Each waits for an object of the same name that another session has made and not committed: the middle of a step.
const OBSTACLES = {
  'the tables': 'create table regent.segments (x int)',
  'the functions': "create function regent.position_before(p_partition bigint, p_head bigint, p_time timestamptz) returns bigint language sql as 'select 1::bigint'"
}

for (const [step, obstacle] of Object.entries(OBSTACLES)) {
  t.test(`a migration whose session is killed while it makes ${step} is undone, and the next start completes it`, async t => {
    const databaseUrl = await createDatabase(t)
    const sql = connect(t, databaseUrl, 4)
    await sql.unsafe('create schema regent')
    const held = await hold(t, sql)
    await held.sql.unsafe(obstacle)
    const killed = t.rejects(migrate(connectionTo(databaseUrl)))
    await killWaiting(sql)
    await killed
    await held.rollback()
    const steps = await sql<{ name: string }[]>`select name from regent.migrations`
    const [made] = await sql`select to_regclass('regent.queues') is not null as tables, to_regproc('regent.message_id') is not null as functions`
    t.same(made, { tables: step === 'the functions', functions: false }, 'a step is there as a whole or not at all')
    t.equal(steps.length > 0, step === 'the functions', 'and is noted when it is')

    const service = await startService(t, { databaseUrl })
    const fresh = await startService(t)
    t.strictSame(await shapeOf(sql), await shapeOf(connect(t, fresh.databaseUrl)), 'the schema is that of a start without a fault')
    await push(service, [{ queue: 'q', transactionId: 'one', payload: 1 }])
    t.match(await pop(service, 'q'), [{ transactionId: 'one' }])
  })
}

t.test('a service whose migration is killed under it tries again by itself', async t => {
  const databaseUrl = await createDatabase(t)
  const sql = connect(t, databaseUrl, 4)
  await sql.unsafe('create schema regent')
  const held = await hold(t, sql)
  await held.sql.unsafe(OBSTACLES['the tables'])
  const starting = startService(t, { databaseUrl })
  await killWaiting(sql)
  await held.rollback()
  const service = await starting
  await push(service, [{ queue: 'q', transactionId: 'one', payload: 1 }])
  t.match(await pop(service, 'q'), [{ transactionId: 'one' }])
})

t.test('a migration that differs from the one applied is refused, and nothing is touched', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  await push(service, [{ queue: 'q', transactionId: 'one', payload: 1 }])
  await sql`update regent.migrations set checksum = 'another' where name = '001-core'`
  const before = await shapeOf(sql)
  await t.rejects(startService(t, { databaseUrl: service.databaseUrl }), { code: 'RGT_DATABASE_UNSUITABLE', message: /001-core/ })
  t.strictSame(await shapeOf(sql), before)
  t.match(await pop(service, 'q'), [{ transactionId: 'one' }], 'the instance that runs goes on')
})

t.test('functions of another version are replaced by those of the instance that starts', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const wanted = await shapeOf(sql)
  await sql`update regent.migrations set checksum = 'another' where name = 'functions'`
  await sql.unsafe('create or replace function regent.settle_cursor(p_partition bigint, p_committed bigint) returns timestamptz language sql as $$ select null::timestamptz $$')
  await startService(t, { databaseUrl: service.databaseUrl })
  t.strictSame(await shapeOf(sql), wanted)
})
