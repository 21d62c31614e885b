import t from 'tap'
import type { Test } from 'tap'
import type postgres from 'postgres'
import { hasCode } from '../../services/errors.ts'
import type { Job, JobContext } from '../../services/jobs/runner.ts'
import type { JobRunner } from '../../services/jobs/runner.ts'
import { connect, createDatabase, startService, until } from '../support.ts'
import { jobConnection, jobRunner, QUIET } from '../invariants/retention-support.ts'

const LONG_MS = 3_600_000

/** A job that notes each run, and the runner it belongs to. */
function noting (t: Test, url: string, name: string, runs: string[], options: Partial<Job> = {}): JobRunner {
  return jobRunner(t, url, {}, {
    connection: jobConnection(url, name),
    jobs: [{ name: 'note', intervalMs: LONG_MS, run: async ({ call }) => { await call(sql => sql`select 1 as one`); runs.push(name) }, ...options }]
  })
}

async function sessions (sql: postgres.Sql, name: string): Promise<number[]> {
  const rows = await sql<{ pid: number }[]>`select pid from pg_stat_activity where application_name = ${`${name} jobs`}`
  return rows.map(row => row.pid)
}

async function terminate (sql: postgres.Sql, name: string): Promise<void> {
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${`${name} jobs`}`
}

t.test('one instance among several runs the jobs, and another takes over when its connection is killed', async t => {
  const url = await createDatabase(t)
  const sql = connect(t, url)
  const runs: string[] = []
  const one = noting(t, url, 'one', runs)
  one.start()
  await until(() => runs.length === 1)
  const two = noting(t, url, 'two', runs)
  two.start()
  // It has been told that the lock is taken.
  await until(async () => (await sql`select from pg_stat_activity where application_name = 'two jobs' and state = 'idle' and query like '%pg_try_advisory_lock%'`).length === 1)
  t.same([one.isActive, two.isActive], [true, false])
  t.same(runs, ['one'])
  t.equal((await sessions(sql, 'one')).length, 1, 'with one connection')

  await terminate(sql, 'one')
  await until(() => runs.length === 2)
  // Whoever asks first has it next.
  t.equal([one.isActive, two.isActive].filter(Boolean).length, 1)
  await (one.isActive ? one : two).close()
  await until(() => runs.length === 3)
  t.same([...new Set(runs)].sort(), ['one', 'two'])
})

t.test('a job runs at its interval, not twice at once, and when asked for wherever that is', async t => {
  const url = await createDatabase(t)
  const running = { now: 0, most: 0, total: 0 }
  const run = async ({ call }: JobContext): Promise<void> => {
    running.most = Math.max(running.most, ++running.now)
    await call(sql => sql`select pg_sleep(0.01)`)
    running.now--
    running.total++
  }
  const runner = jobRunner(t, url, {}, { jobs: [{ name: 'note', intervalMs: 1, run }] })
  runner.start()
  await Promise.all([runner.runNow('note'), runner.runNow('note'), runner.runNow('note')])
  await until(() => running.total >= 10)
  t.equal(running.most, 1)
  await t.rejects(runner.runNow('none'), /no such job/)
  const runs: string[] = []
  const other = noting(t, url, 'other', runs)
  await other.runNow('note')
  t.same(runs, ['other'], 'without the lock')
  t.equal(other.isActive, false)
})

t.test('a job that fails is tried again at its next time, and the others go on', async t => {
  const url = await createDatabase(t)
  const warnings: string[] = []
  const runs = { bad: 0, good: 0 }
  const runner = jobRunner(t, url, {}, {
    log: { ...QUIET, warn: (_fields: object, message: string) => { warnings.push(message) } },
    jobs: [
      { name: 'bad', intervalMs: 5, run: async ({ call }) => { runs.bad++; await call(sql => sql`select 1 / 0`) } },
      { name: 'good', intervalMs: 5, run: async ({ call }) => { runs.good++; await call(sql => sql`select 1`) } }
    ]
  })
  runner.start()
  await until(() => runs.bad > 3 && runs.good > 3)
  t.ok(warnings.length >= 3)
  await t.rejects(runner.runNow('bad'), /division by zero/)
})

t.test('a statement that does not end costs its job and the connection, not the runner nor the lock', async t => {
  const url = await createDatabase(t)
  const sql = connect(t, url)
  const failures: unknown[] = []
  let runs = 0
  const runner = jobRunner(t, url, {}, {
    connection: { ...jobConnection(url, 'stuck'), statementTimeoutMs: 600_000 },
    callTimeoutMs: 500,
    log: { ...QUIET, warn: (fields: object) => { if ('err' in fields) failures.push(fields.err) } },
    jobs: [{ name: 'stuck', intervalMs: LONG_MS, run: async ({ call }) => { if (++runs === 1) await call(sql => sql`select pg_sleep(600)`) } }]
  })
  runner.start()
  await until(() => runs === 2, 30_000)
  t.ok(runner.isActive)
  t.ok(hasCode(failures[0], 'RGT_OUTCOME_UNKNOWN'))
  await until(async () => (await sessions(sql, 'stuck')).length === 1)
})

t.test('closing in the middle of a step cancels it and lets go of the lock', async t => {
  const url = await createDatabase(t)
  const sql = connect(t, url, 3)
  await sql`create table locked (n int)`
  await sql`insert into locked values (1)`
  const holder = await sql.reserve()
  await holder`begin`
  await holder`update locked set n = 2`
  const runner = jobRunner(t, url, {}, {
    connection: jobConnection(url, 'closing'),
    jobs: [{ name: 'waits', intervalMs: LONG_MS, run: async ({ call }) => { await call(sql => sql`update locked set n = 3`) } }]
  })
  runner.start()
  await until(async () => (await sql`select from pg_stat_activity where application_name = 'closing jobs' and wait_event_type = 'Lock'`).length === 1)
  const asked = runner.runNow('waits')
  await Promise.all([runner.close(), t.rejects(asked, { code: 'RGT_SHUTTING_DOWN' })])
  await until(async () => (await sessions(sql, 'closing')).length === 0)
  await holder`commit`
  holder.release()
  t.same([...await sql`select n from locked`], [{ n: 2 }])
  await runner.close()
  await t.rejects(runner.runNow('waits'), { code: 'RGT_SHUTTING_DOWN' })
})

t.test('closing in a pause ends the job', async t => {
  const url = await createDatabase(t)
  let ended: unknown = null
  let isPausing = false
  const runner = jobRunner(t, url, {}, {
    jobs: [{
      name: 'pauses',
      intervalMs: LONG_MS,
      run: async ({ pause }) => {
        isPausing = true
        try {
          await pause(LONG_MS)
        } catch (error) {
          ended = error
          throw error
        }
      }
    }]
  })
  runner.start()
  await until(() => isPausing)
  await runner.close()
  t.ok(ended instanceof Error)
})

t.test('waits for a database that is away and says so once', async t => {
  const warnings: string[] = []
  const runner = jobRunner(t, 'postgres://nobody@127.0.0.1:1/none', {}, {
    log: { ...QUIET, warn: (_fields: object, message: string) => { warnings.push(message) } },
    lockRetryMs: 5,
    jobs: []
  })
  let tries = 0
  const connect = setInterval(() => { tries++ }, 5)
  t.teardown(() => { clearInterval(connect) })
  runner.start()
  await until(() => warnings.length > 0)
  tries = 0
  await until(() => tries > 20)
  t.equal(warnings.length, 1)
  await t.rejects(runner.runNow('none'))
})

t.test('a service runs its jobs from the start and ends promptly with them', async t => {
  const service = await startService(t, { workerId: 'jobs-here' })
  const sql = connect(t, service.databaseUrl)
  await until(async () => {
    const [row] = await sql`select count(*)::int as locks from pg_locks
      where locktype = 'advisory' and pid = any(${await sessions(sql, 'regent jobs-here')})`
    return row?.locks === 1
  })
  await service.close()
  await until(async () => (await sessions(sql, 'regent jobs-here')).length === 0)
})
