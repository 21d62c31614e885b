import t from 'tap'
import type { Test } from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectionOptions } from '../../services/database/connection.ts'
import { Pool } from '../../services/database/pool.ts'
import { connect, createDatabase, databaseUrl, until } from '../support.ts'
import { FaultProxy } from './proxy.ts'

const CALL_TIMEOUT_MS = 1500

function connection (url: string): ConnectionOptions {
  return { url, schema: 'public', applicationName: 'pool test', connectTimeoutMs: 1000, statementTimeoutMs: 1350, lockTimeoutMs: 1200 }
}

/** @param patience how many times as long as usual everything may take, where a test is not about that */
async function start (t: Test, poolSize: number, patience = 1): Promise<{ pool: Pool, proxy: FaultProxy, warnings: string[] }> {
  const proxy = await FaultProxy.start(t, await createDatabase(t))
  const warnings: string[] = []
  const log = { warn: (_fields: object, message: string) => { warnings.push(message) }, info () {} }
  const { connectTimeoutMs, statementTimeoutMs, ...others } = connection(proxy.url)
  const pool = new Pool({
    ...others,
    connectTimeoutMs: connectTimeoutMs * patience,
    statementTimeoutMs: statementTimeoutMs * patience,
    poolSize,
    callTimeoutMs: CALL_TIMEOUT_MS * patience,
    log
  })
  t.teardown(async () => { await pool.close(100) })
  return { pool, proxy, warnings }
}

async function sleepInDatabase (pool: Pool, seconds: number, timeoutMs?: number): Promise<string> {
  try {
    await pool.call(sql => sql`select pg_sleep(${seconds})`, timeoutMs)
    return 'done'
  } catch (error) {
    return (error as { code: string }).code
  }
}

t.test('the settings of a connection reach the server', async t => {
  const { pool } = await start(t, 1)
  const rows = await pool.call<{ name: string, setting: string }>(sql => sql`
    select name, setting from pg_settings where name in ('jit', 'work_mem', 'statement_timeout', 'lock_timeout', 'TimeZone') order by 1`)
  t.strictSame(Object.fromEntries(rows.map(({ name, setting }) => [name, setting])),
    { TimeZone: 'UTC', jit: 'off', lock_timeout: '1200', statement_timeout: '1350', work_mem: '32768' })
})

t.test('a call that waited long for a connection does not take the pool down with it', async t => {
  const { pool, warnings } = await start(t, 2)
  const first = [sleepInDatabase(pool, 0.9), sleepInDatabase(pool, 0.9)]
  // Gets a connection after 0.9 of its 1.5 seconds, and would need a second more.
  const late = sleepInDatabase(pool, 1)
  // Has a connection at the same time and a deadline of its own.
  await Promise.all(first)
  const neighbour = sleepInDatabase(pool, 1)
  t.equal(await late, 'RGT_OUTCOME_UNKNOWN')
  t.equal(await neighbour, 'done')
  t.strictSame(warnings, [])
  await until(() => pool.load.running === 0)
})

t.test('an impatient caller, such as a health check, does not take the pool down with it', async t => {
  const { pool, warnings } = await start(t, 4)
  const patient = sleepInDatabase(pool, 1)
  t.equal(await sleepInDatabase(pool, 1, 200), 'RGT_OUTCOME_UNKNOWN')
  t.equal(pool.load.running, 2, 'its connection is taken until the statement is over')
  t.equal(await patient, 'done')
  t.strictSame(warnings, [])
})

t.test('no more calls run at once than there are connections', async t => {
  const { pool, proxy } = await start(t, 3)
  const sql = connect(t, proxy.url)
  let most = 0
  let isOver = false
  const load = Promise.all(Array.from({ length: 20 }, async () => {
    for (let i = 0; i < 15; i++) {
      await pool.call(sql => sql`select ${i}::int`)
      most = Math.max(most, pool.load.running)
    }
  })).finally(() => { isOver = true })
  await until(() => isOver)
  await load
  t.ok(most <= 3, `${most} at once`)
  const [row] = await sql`select count(*)::int as n from pg_stat_activity where application_name = 'pool test'`
  t.equal(row?.n, 3)
  t.strictSame(pool.load, { running: 0, waiting: 0, size: 3 })
})

t.test('a statement that is never answered ends at the deadline, and the pool is replaced', async t => {
  const { pool, proxy, warnings } = await start(t, 2)
  const caught = proxy.catch('answer', /pg_sleep/)
  const startedAt = performance.now()
  const lost = sleepInDatabase(pool, 0)
  await caught
  t.equal(await lost, 'RGT_OUTCOME_UNKNOWN')
  t.ok(performance.now() - startedAt < CALL_TIMEOUT_MS + 2000)
  t.equal(warnings.length, 1)
  t.equal(await sleepInDatabase(pool, 0), 'done')
  t.equal(pool.load.running, 0)
})

t.test('connections cut under many calls settle all of them, and the next calls work', async t => {
  const { pool, proxy } = await start(t, 5)
  for (let round = 0; round < 5; round++) {
    const calls = Array.from({ length: 40 }, async () => await sleepInDatabase(pool, 0.05))
    await delay(round * 30)
    proxy.cutAll()
    const outcomes = new Set(await Promise.all(calls))
    for (const outcome of outcomes) t.match(outcome, /^(done|RGT_OUTCOME_UNKNOWN|RGT_DATABASE_AWAY)$/)
  }
  t.equal(await sleepInDatabase(pool, 0), 'done')
  // A statement that was given up may be under way a moment longer.
  await until(() => pool.load.running === 0)
  t.strictSame(pool.load, { running: 0, waiting: 0, size: 5 })
})

t.test('closes without delay although a connection was lost under a call before', async t => {
  const { pool, proxy } = await start(t, 3, 40)
  const call = sleepInDatabase(pool, 50)
  await sleepInDatabase(pool, 0)
  // Round the proxy. It has its connection, and is under way.
  const sql = connect(t, databaseUrl())
  const database = new URL(proxy.url).pathname.slice(1)
  await until(async () => (await sql`
    select from pg_stat_activity where datname = ${database} and state = 'active' and query like '%pg_sleep%'`).length > 0, 30_000)
  proxy.cutAll()
  t.equal(await call, 'RGT_OUTCOME_UNKNOWN')
  const startedAt = performance.now()
  await pool.close(60_000)
  t.ok(performance.now() - startedAt < 30_000)
})

t.test('closing waits for running calls, and refuses new ones', async t => {
  const { pool } = await start(t, 1)
  const running = sleepInDatabase(pool, 0.5)
  const waiting = sleepInDatabase(pool, 0)
  const closing = pool.close(10_000)
  t.equal(await sleepInDatabase(pool, 0), 'RGT_SHUTTING_DOWN')
  t.equal(await waiting, 'RGT_SHUTTING_DOWN')
  t.equal(await running, 'done')
  await closing
})
