// Several workers on the database that belongs to the server.
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { noPostgresLeft, postgresIn, readyUrl, spawnServer } from '../fixtures/server-process.ts'
import type { ServerProcess } from '../fixtures/server-process.ts'
import { RawClient } from '../fault/raw-client.ts'
import { until } from '../support.ts'
import { connectEach, processesOf, untilGone } from './connections.ts'

const WORKERS = 2
const dataDir = join(makeFolder(t), 'data')

async function start (t: Test): Promise<{ server: ServerProcess, client: RawClient }> {
  const server = spawnServer(t, { env: { DATA_DIR: dataDir, WORKERS: String(WORKERS), LOG_LEVEL: 'info' } })
  return { server, client: new RawClient(t, await readyUrl(server)) }
}

/** What is in the queue, in its order. */
async function all (client: RawClient): Promise<unknown[]> {
  const [first] = await connectEach(client, WORKERS)
  const answer = await first?.call('GET', '/api/v1/pop/queue/q?batch=100')
  return answer?.json?.messages.map(({ data }: { data: unknown }) => data) ?? []
}

t.test('SIGTERM to the main process, and to the group, stops it', async t => {
  for (const [stored, stop] of [
    ['main', server => { server.process.kill('SIGTERM') }],
    ['group', server => { server.signalGroup('SIGTERM') }]
  ] as [string, (server: ServerProcess) => void][]) {
    const { server, client } = await start(t)
    for (const connection of await connectEach(client, WORKERS)) t.equal((await connection.push('q', stored)).status, 201)
    stop(server)
    t.equal(await server.ended, 0, server.output())
    t.same(processesOf(server), [])
    t.same(postgresIn(dataDir), [])
    t.notMatch(server.output(), /"level":[56]0/)
  }
})

t.test('killed, it leaves nothing behind, and the next start has the database and the buffer', async t => {
  const { server, client } = await start(t)
  const [first, second] = await connectEach(client, WORKERS)
  await first?.call('POST', '/api/v1/system/maintenance', { enabled: true })
  let held = 0
  await until(async () => {
    const { status, json } = await second?.push('q', 'held') ?? {}
    if (status === 201) held++
    return json?.[0].status === 'buffered'
  })
  server.process.kill('SIGKILL')
  t.equal(await server.ended, 'SIGKILL')
  await untilGone(server)
  await noPostgresLeft(dataDir)
  const next = await start(t)
  const [again] = await connectEach(next.client, WORKERS)
  t.ok((await again?.call('GET', '/api/v1/system/maintenance'))?.json.bufferedMessages > 0)
  await again?.call('POST', '/api/v1/system/maintenance', { enabled: false })
  await until(async () => (await again?.call('GET', '/health'))?.json.pushes === 'direct')
  t.strictSame(await all(next.client), ['main', 'main', 'group', 'group', ...Array.from({ length: held }, () => 'held')])
  next.server.process.kill('SIGTERM')
  t.equal(await next.server.ended, 0)
})
