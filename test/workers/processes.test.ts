import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { ServerProcess } from '../fixtures/server-process.ts'
import { RawClient } from '../fault/raw-client.ts'
import { startServer } from '../fault/server-under-test.ts'
import { connect, createDatabase, databaseUrl, until } from '../support.ts'
import { connectEach, pidOf, processesOf, untilParked } from './connections.ts'

const LONGEST_MS = 60_000

/** Waits until another process serves as this worker. */
async function untilReplaced (server: ServerProcess, worker: number, pid: number): Promise<void> {
  await until(() => pidOf(server.output(), worker) !== pid, LONGEST_MS)
}

t.test('several workers', async t => {
  const { server, url, databaseUrl } = await startServer(t, { env: { WORKERS: '3', LOG_LEVEL: 'info' } })
  const client = new RawClient(t, url)

  await t.test('all of them serve, on one port, and one process more looks after them', async t => {
    t.match(server.output(), /^ {2}Workers: +3$/m)
    t.equal(processesOf(server).length, 4)
    const connections = await connectEach(client, 3)
    for (const connection of connections) t.equal((await connection.push('q', connection.worker)).status, 201)
    const popped = await connections[0]?.call('GET', '/api/v1/pop/queue/q?batch=10')
    t.strictSame(popped?.json.messages.map(({ data }: { data: number }) => data), [1, 2, 3])
    const sql = connect(t, databaseUrl)
    const sessions = await sql`select distinct application_name as name from pg_stat_activity where datname = current_database() and application_name ~ '^regent regent-1-(main|[0-9])$'`
    t.strictSame(sessions.map(({ name }) => name).sort(), ['regent regent-1-1', 'regent regent-1-2', 'regent regent-1-3', 'regent regent-1-main'])
  })

  await t.test('of one that is killed its own connections notice, and nobody else; another takes its place', async t => {
    const asking = await connectEach(client, 3)
    const connections = await connectEach(client, 3, 4)
    const polls = connections.map(async (connection, i) => await connection.poll(`own-${i}`).catch((error: unknown) => error))
    await untilParked(asking, 4)
    const pid = pidOf(server.output(), 2)
    const others = processesOf(server).filter(other => other !== pid)
    process.kill(pid, 'SIGKILL')
    await untilReplaced(server, 2, pid)
    t.strictSame(connections.filter(({ connection }) => connection.isClosed).map(({ worker }) => worker), [2, 2, 2, 2])
    for (const i of connections.keys()) t.equal((await asking[0]?.push(`own-${i}`, i))?.status, 201)
    for (const [i, answer] of (await Promise.all(polls)).entries()) {
      if (connections[i]?.worker === 2) t.match(answer, { message: /the connection ended/ })
      else t.match(answer, { status: 200, json: { messages: [{ data: i }] } })
    }
    t.strictSame(others.filter(other => !processesOf(server).includes(other)), [], 'the other processes are the same')
    const [, second] = await connectEach(client, 3)
    t.match((await second?.poll('own-5'))?.json.messages, [{ data: 5 }], 'what its clients did not get is there for others')
  })

  await t.test('one that is told to end answers what it has and is replaced', async t => {
    const [, asking] = await connectEach(client, 3)
    const [, second] = await connectEach(client, 3)
    if (asking === undefined || second === undefined) throw new Error('not enough connections')
    const poll = second.poll('q2')
    await untilParked([asking], 1)
    const pid = pidOf(server.output(), 2)
    process.kill(pid, 'SIGTERM')
    t.match(await poll, { status: 200, json: { messages: [] } })
    await untilReplaced(server, 2, pid)
    t.strictSame((await connectEach(client, 3)).map(({ worker }) => worker), [1, 2, 3])
  })
})

t.test('a worker that cannot start again is tried again with growing pauses, and the others serve', async t => {
  const admin = connect(t, databaseUrl(), 1)
  const role = `worker_${randomBytes(4).toString('hex')}`
  await admin.unsafe(`create role ${role} login superuser`)
  // After its database, which it owns much in.
  t.teardown(async () => { await admin.unsafe(`drop role if exists ${role}`) })
  const url = new URL(await createDatabase(t))
  url.username = role
  const { server, url: address } = await startServer(t, { databaseUrl: url.href, env: { WORKERS: '2', LOG_LEVEL: 'info' } })
  const client = new RawClient(t, address)
  const [first] = await connectEach(client, 2)
  await admin.unsafe(`alter role ${role} nologin`)
  const pid = pidOf(server.output(), 2)
  process.kill(pid, 'SIGKILL')
  const pauses = (): number[] => [...server.output().matchAll(/"worker":2,[^\n]*"pauseMs":(\d+)[^\n]*is replaced"/g)].map(([, pauseMs]) => Number(pauseMs))
  await until(() => pauses().filter(pauseMs => pauseMs > 0).length >= 4, LONGEST_MS)
  t.strictSame(pauses().filter(pauseMs => pauseMs > 0).slice(0, 4), [100, 200, 400, 800])
  t.match(server.output(), /"worker":2,"reason":"DATABASE_URL: [^\n]*"msg":"a worker could not start"/)
  t.equal((await first?.push('q', 1))?.status, 201)
  await admin.unsafe(`alter role ${role} login`)
  await untilReplaced(server, 2, pid)
  t.strictSame((await connectEach(client, 2)).map(({ worker }) => worker), [1, 2])
})
