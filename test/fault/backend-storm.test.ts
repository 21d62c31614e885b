import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { connect, databaseUrl, startService, until } from '../support.ts'
import { poll, payloads, untilParked } from '../poll/parked.ts'
import { Load } from './load.ts'

const CALL_TIMEOUT_MS = 3000
// Deadline of a call, and the time for which the service tries again by itself, once more at its end.
const LONGEST_MS = CALL_TIMEOUT_MS + 3000 + CALL_TIMEOUT_MS + 1000
const STORM_MS = 4000

t.test('backends that are terminated again and again under load', async t => {
  const rejections: unknown[] = []
  const note = (reason: unknown): void => { rejections.push(reason) }
  process.on('unhandledRejection', note)
  process.on('uncaughtException', note)
  t.teardown(() => {
    process.off('unhandledRejection', note)
    process.off('uncaughtException', note)
  })
  const service = await startService(t, { safetyNetMs: 0, callTimeoutMs: CALL_TIMEOUT_MS, workerId: 'storm' })
  const admin = connect(t, databaseUrl(), 1)
  const load = new Load(service, 'storm')
  await until(() => load.pushed > 100)

  let terminated = 0
  const endAt = performance.now() + STORM_MS
  while (performance.now() < endAt) {
    const rows = await admin`select pg_terminate_backend(pid) as done from pg_stat_activity
      where datname = ${new URL(service.databaseUrl).pathname.slice(1)} and application_name like 'regent storm%'`
    terminated += rows.length
    await delay(100)
  }
  t.ok(terminated > 40, `${terminated} backends`)

  const before = load.answered
  const pushedBefore = load.pushed
  await t.resolves(until(() => load.answered > before + 50 && load.pushed > pushedBefore + 50, 5000), 'resumes within five seconds')
  await load.settle(t, connect(t, service.databaseUrl))
  t.ok(load.slowestMs < LONGEST_MS, `the slowest request took ${Math.round(load.slowestMs)} ms`)
  t.strictSame(rejections, [])

  // LISTEN was cut as well: only it can wake this poll.
  const other = await startService(t, { safetyNetMs: 0, databaseUrl: service.databaseUrl, workerId: 'other' })
  const polled = poll(service, 'after', 60_000)
  await untilParked(service, 1)
  await other.push([{ queue: 'after', payload: 'heard' }])
  t.strictSame(payloads(await polled.answer), ['heard'])
})
