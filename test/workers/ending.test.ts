import t from 'tap'
import type { Test } from 'tap'
import { RawClient } from '../fault/raw-client.ts'
import type { RawReply } from '../fault/raw-client.ts'
import { startServer } from '../fault/server-under-test.ts'
import type { ServerUnderTest } from '../fault/server-under-test.ts'
import { untilBlocked } from '../invariants/support.ts'
import { connect, until } from '../support.ts'
import { connectEach, pidOf, processesOf, untilGone, untilParked } from './connections.ts'

const WORKERS = 2

interface Busy {
  under: ServerUnderTest
  /** A pop that waits in each worker. */
  polls: Promise<RawReply>[]
  /** A push in each worker that waits for the database. */
  pushes: Promise<RawReply>[]
  /** Lets them go on. */
  release: () => Promise<void>
  stored: () => Promise<number>
}

/** A server on a database of the tests', with something to do in each of its workers. */
async function startBusy (t: Test, env: Record<string, string> = {}): Promise<Busy> {
  const under = await startServer(t, { env: { WORKERS: String(WORKERS), LOG_LEVEL: 'info', ...env } })
  const client = new RawClient(t, under.url)
  const asking = await connectEach(client, WORKERS)
  const polls = (await connectEach(client, WORKERS)).map(async (connection, i) => await connection.poll(`empty-${i}`))
  await untilParked(asking, 1)
  const sql = connect(t, under.databaseUrl)
  const holder = await sql.reserve()
  await holder`begin`
  await holder`lock table regent.segments in exclusive mode`
  const pushes = (await connectEach(client, WORKERS)).map(async (connection, i) => await connection.push(`busy-${i}`, i))
  await untilBlocked(sql, WORKERS)
  return {
    under,
    polls,
    pushes,
    release: async () => {
      await holder`rollback`
      holder.release()
    },
    stored: async () => (await sql`select from regent.messages`).length
  }
}

async function endsInOrder (t: Test, { under: { server }, polls, pushes, release, stored }: Busy): Promise<void> {
  for (const answer of await Promise.all(polls)) t.match(answer, { status: 200, json: { messages: [] } })
  t.notOk(server.hasEnded(), 'it waits for the pushes')
  await release()
  for (const answer of await Promise.all(pushes)) t.match(answer, { status: 201, json: [{ status: 'queued' }] })
  t.equal(await server.ended, 0, server.output())
  t.same(processesOf(server), [])
  t.equal(await stored(), pushes.length)
  t.notMatch(server.output(), /"level":[56]0/, 'nothing went wrong')
}

t.test('SIGTERM to the main process: what was begun is answered, then all of them end', async t => {
  const busy = await startBusy(t)
  busy.under.server.process.kill('SIGTERM')
  await endsInOrder(t, busy)
})

t.test('SIGTERM to the whole process group: likewise', async t => {
  const busy = await startBusy(t)
  busy.under.server.signalGroup('SIGTERM')
  await endsInOrder(t, busy)
})

t.test('a second signal ends all of them at once', async t => {
  const busy = await startBusy(t, { SHUTDOWN_TIMEOUT: '600000' })
  const { server } = busy.under
  const cut = Promise.allSettled(busy.pushes)
  server.process.kill('SIGTERM')
  await Promise.all(busy.polls)
  // Sent until it is taken for a second one: which one that is depends on the clock.
  await until(() => {
    server.process.kill('SIGTERM')
    return server.hasEnded()
  })
  t.equal(await server.ended, 1)
  await untilGone(server)
  await cut
  await busy.release()
})

t.test('the main process is killed: its workers answer what they have begun and end by themselves', async t => {
  const busy = await startBusy(t)
  const { server } = busy.under
  server.process.kill('SIGKILL')
  for (const answer of await Promise.all(busy.polls)) t.match(answer, { status: 200, json: { messages: [] } })
  await busy.release()
  for (const answer of await Promise.all(busy.pushes)) t.match(answer, { status: 201, json: [{ status: 'queued' }] })
  await untilGone(server)
  t.equal(await busy.stored(), WORKERS)
  t.match(server.output(), 'the main process is gone')
})

t.test('it ends in order also while a worker is just being started', async t => {
  const { server } = await startServer(t, { env: { WORKERS: '3', LOG_LEVEL: 'info' } })
  process.kill(pidOf(server.output(), 2), 'SIGKILL')
  await until(() => server.output().includes('is replaced'), 60_000)
  await until(() => processesOf(server).length === 4, 60_000)
  server.process.kill('SIGTERM')
  t.equal(await server.ended, 0, server.output())
  t.notMatch(server.output(), 'did not end in time')
  t.same(processesOf(server), [])
})
