// What keeps the workers from starting is said once, with the variable, and ends everything with exit code 1.
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { postgresIn, spawnServer } from '../fixtures/server-process.ts'
import { createDatabase } from '../support.ts'
import { untilGone } from './connections.ts'

/** What it says as it fails to start. */
async function fails (t: Test, env: Record<string, string>): Promise<string> {
  const server = spawnServer(t, { env: { LOG_LEVEL: 'error', WORKERS: '2', FILE_BUFFER_DIR: 'off', ...env } })
  t.equal(await server.ended, 1, server.output())
  t.notMatch(server.output(), /^ {4}at /m, 'no stack')
  await untilGone(server)
  return server.errors()
}

t.test('a port in use; the embedded database is stopped again', async t => {
  const other = createServer().listen(0, '0.0.0.0')
  t.teardown(() => { other.close() })
  await new Promise(resolve => other.once('listening', resolve))
  const dataDir = makeFolder(t)
  t.match(await fails(t, { DATA_DIR: dataDir, PORT: String((other.address() as AddressInfo).port) }), /^PORT: [^\n]*EADDRINUSE[^\n]*\n$/)
  t.same(postgresIn(dataDir), [])
})

t.test('an address that is not ours', async t => {
  t.match(await fails(t, { DATABASE_URL: await createDatabase(t), HOST: '203.0.113.7' }), /^HOST: [^\n]*203\.0\.113\.7[^\n]*\n$/)
})

t.test('a database that refuses', async t => {
  const url = new URL(await createDatabase(t))
  url.username = 'no_such_role'
  t.match(await fails(t, { DATABASE_URL: url.href }), /^DATABASE_URL: [^\n]*no_such_role[^\n]*\n$/)
})

t.test('a number of workers that makes no sense, beside other faults', async t => {
  for (const workers of ['0', 'x', '65', '-1', '2.5']) {
    const said = await fails(t, { WORKERS: workers, POLL_SAFETY_NET: 'often' })
    t.match(said, '\n  WORKERS: must be a whole number between 1 and 64\n', workers)
    t.match(said, '\n  POLL_SAFETY_NET: ')
  }
})
