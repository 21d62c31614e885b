import { execFileSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { makeFolder, serverPid, start as startPostgres } from '../fixtures/embedded-postgres.ts'
import { payloads, poll, untilParked } from '../poll/parked.ts'
import { connect, startService, until } from '../support.ts'
import type { Service } from '../support.ts'
import { Load } from './load.ts'

const CALL_TIMEOUT_MS = 1500
// Deadline of a call, the time for which the service tries again by itself, and a last try.
const LONGEST_MS = CALL_TIMEOUT_MS + 3000 + CALL_TIMEOUT_MS + 2000

/** The server and all of its processes. */
function signal (dataDir: string, name: 'SIGSTOP' | 'SIGCONT'): void {
  const parent = serverPid(dataDir)
  // The postmaster first, so that no process is born meanwhile.
  process.kill(parent, name)
  const children = execFileSync('ps', ['--no-headers', '-o', 'pid', '--ppid', String(parent)], { encoding: 'utf8' })
  for (const pid of children.trim().split(/\s+/)) {
    try {
      process.kill(Number(pid), name)
    } catch {
      // It ended meanwhile.
    }
  }
}

async function checkAnswersWhileAway (t: Test, service: Service): Promise<void> {
  const ack = { transactionId: 'x', partitionId: '00000000-0001-8000-8000-000000000000' }
  const calls = [
    service.push([{ queue: 'away', payload: 1 }]),
    service.call('POST', '/api/v1/ack', ack),
    service.call('POST', '/api/v1/transaction', { operations: [{ type: 'push', items: [{ queue: 'away', payload: 1 }] }] })
  ]
  const pops = [service.pop('away'), poll(service, 'away', 1000).answer, poll(service, '?namespace=away', 1000).answer]
  const startedAt = performance.now()
  for (const pop of pops) {
    const answer = await pop
    t.equal(answer.status, 200, 'a pop never answers an error')
    t.strictSame(answer.json.messages, [])
  }
  for (const call of calls) {
    const answer = await call
    t.equal(answer.status, 503)
    t.match(answer.json, { error: String, code: /^RGT_(DATABASE_AWAY|OUTCOME_UNKNOWN|DATABASE_SLOW)$/, retryable: true })
    t.match(answer.headers.get('retry-after'), /^\d+$/)
  }
  const health = await service.call('GET', '/health')
  t.equal(health.status, 503)
  t.equal(health.json.database, 'disconnected')
  t.ok(performance.now() - startedAt < LONGEST_MS, 'all within their deadlines')
}

const outages: Record<string, { leave: (dataDir: string, stop: () => Promise<void>) => Promise<void>, comeBack: (t: Test, dataDir: string) => Promise<void> }> = {
  'is restarted': {
    leave: async (_dataDir, stop) => { await stop() },
    comeBack: async (t, dataDir) => { await startPostgres(t, dataDir) }
  },
  'is killed and started again': {
    leave: async dataDir => {
      const pid = serverPid(dataDir)
      process.kill(pid, 'SIGKILL')
      await delay(100)
    },
    comeBack: async (t, dataDir) => { await startPostgres(t, dataDir) }
  },
  'stands still and goes on': {
    leave: async dataDir => { signal(dataDir, 'SIGSTOP') },
    comeBack: async (_t, dataDir) => { signal(dataDir, 'SIGCONT') }
  }
}

for (const [what, { leave, comeBack }] of Object.entries(outages)) {
  t.test(`a database that ${what}`, async t => {
    const dataDir = makeFolder(t)
    const server = await startPostgres(t, dataDir)
    const databaseUrl = `postgres://postgres@localhost/postgres?host=${encodeURIComponent(server.socketDir)}&port=${server.port}`
    const options = { databaseUrl, safetyNetMs: 0, callTimeoutMs: CALL_TIMEOUT_MS, poolSize: 8 }
    const service = await startService(t, { ...options, workerId: 'a' })
    const other = await startService(t, { ...options, workerId: 'b' })
    const load = new Load(service, 'load')
    await until(() => load.pushed > 50)
    const longPoll = poll(other, 'patient', 60_000)
    await untilParked(other, 1)

    await leave(dataDir, async () => { await server.stop() })
    await checkAnswersWhileAway(t, service)
    await comeBack(t, dataDir)

    const { pushed, answered } = load
    await t.resolves(until(() => load.pushed > pushed + 50 && load.answered > answered + 50, 5000), 'resumes within five seconds')
    await t.resolves(until(async () => (await service.call('GET', '/health')).status === 200), 'is healthy again')
    await load.settle(t, connect(t, databaseUrl))
    t.ok(load.slowestMs < LONGEST_MS, `the slowest request took ${Math.round(load.slowestMs)} ms`)
    await service.push([{ queue: 'patient', payload: 'at last' }])
    t.strictSame(payloads(await longPoll.answer), ['at last'], 'a poll that waited through it is served by a push elsewhere')
    const again = poll(other, 'again')
    await untilParked(other, 1)
    await service.push([{ queue: 'again', payload: 'heard' }])
    t.strictSame(payloads(await again.answer), ['heard'])
  })
}
