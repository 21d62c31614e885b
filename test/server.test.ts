import { chownSync, readdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { canBecomeOther, makeFolder, NOBODY, serverPid, waitFor } from './fixtures/embedded-postgres.ts'
import { noPostgresLeft, postgresIn, projectDir, readyUrl, spawnServer } from './fixtures/server-process.ts'
import { connect, createDatabase, request } from './support.ts'

const quiet = { LOG_LEVEL: 'error' }

async function push (url: string, queue: string, payload: unknown): Promise<number> {
  const { status } = await request(`${url}/api/v1/push`, { method: 'POST', body: JSON.stringify({ items: [{ queue, payload }] }) })
  return status
}

async function pop (url: string, queue: string): Promise<unknown[]> {
  const { json } = await request(`${url}/api/v1/pop/queue/${queue}?batch=10`)
  return json.messages.map((message: { data: unknown }) => message.data)
}

t.test('starts on an empty folder with nothing but Node, says how to use it, and keeps its data over a restart', async t => {
  const dataDir = join(makeFolder(t), 'data')
  const env = { DATA_DIR: dataDir }
  const first = spawnServer(t, { env })
  const url = await readyUrl(first)
  const shown = url.replace('127.0.0.1', 'localhost')
  t.match(first.output(), `Regent is ready:  ${shown}\n`)
  t.match(first.output(), new RegExp(`Database: +embedded PostgreSQL 1\\d\\.\\d+ in ${dataDir}\n`))
  t.equal(first.errors(), '', 'nothing to warn about')

  const [, pushUrl = '', body = ''] = /curl -X POST (\S+) -d '([^']+)'/.exec(first.output()) ?? []
  const [, popUrl = ''] = /curl '([^']+)'/.exec(first.output()) ?? []
  t.equal((await request(pushUrl, { method: 'POST', body })).status, 201)
  const popped = await request(popUrl)
  t.match(popped, { status: 200, json: { messages: [{ data: { n: 1 } }] } }, 'the printed commands work')
  t.equal(await push(url, 'kept', 'over the restart'), 201)

  first.process.kill('SIGTERM')
  t.equal(await first.ended, 0, first.output())
  t.equal(first.errors(), '')
  t.same(postgresIn(dataDir), [])

  const second = spawnServer(t, { env })
  t.same(await pop(await readyUrl(second), 'kept'), ['over the restart'])
})

t.test('serves an ordinary user', { skip: !canBecomeOther }, async t => {
  const dataDir = makeFolder(t)
  chownSync(dataDir, NOBODY, NOBODY)
  const server = spawnServer(t, { env: { ...quiet, DATA_DIR: dataDir }, uid: NOBODY, gid: NOBODY })
  const url = await readyUrl(server)
  t.equal(await push(url, 'q', 1), 201)
  t.same(await pop(url, 'q'), [1])
  server.process.kill('SIGTERM')
  t.equal(await server.ended, 0, server.output())
  t.same(postgresIn(dataDir), [])
})

t.test('uses a configured database and starts none', async t => {
  async function serves (t: Test, databaseUrl: string, env: Record<string, string>): Promise<string> {
    const dataDir = join(makeFolder(t), 'data')
    const server = spawnServer(t, { env: { ...env, DATA_DIR: dataDir } })
    const url = await readyUrl(server)
    t.equal(await push(url, 'q', 'here'), 201)
    const sql = connect(t, databaseUrl)
    t.same([...await sql`select queue, data from regent.messages`], [{ queue: 'q', data: '"here"' }])
    t.strictSame(readdirSync(dataDir), ['file-buffer'])
    server.process.kill('SIGTERM')
    t.equal(await server.ended, 0, server.output())
    return server.output()
  }

  t.test('by DATABASE_URL', async t => {
    const databaseUrl = await createDatabase(t)
    const withPassword = new URL(databaseUrl)
    withPassword.password = 'not-to-be-printed'
    const output = await serves(t, databaseUrl, { DATABASE_URL: withPassword.href })
    t.match(output, new RegExp(`Database: +\\S+${withPassword.pathname}\n`))
    t.notMatch(output, 'not-to-be-printed')
  })

  t.test('by PG_HOST', async t => {
    const databaseUrl = await createDatabase(t)
    const parts = new URL(databaseUrl)
    const output = await serves(t, databaseUrl, {
      PG_HOST: parts.searchParams.get('host') ?? parts.hostname,
      PG_PORT: parts.searchParams.get('port') ?? (parts.port || '5432'),
      PG_DB: parts.pathname.slice(1),
      PG_USER: parts.username,
      PG_PASSWORD: parts.password || 'none'
    })
    t.match(output, new RegExp(`Database: +\\S+${parts.pathname}\n`))
  })
})

t.test('^C stops the server and its database', async t => {
  const dataDir = makeFolder(t)
  const server = spawnServer(t, { env: { DATA_DIR: dataDir } })
  await readyUrl(server)
  server.signalGroup('SIGINT')
  t.equal(await server.ended, 0, server.output())
  t.same(postgresIn(dataDir), [])
})

t.test('killed, it leaves no database behind and starts again', async t => {
  const dataDir = makeFolder(t)
  const env = { ...quiet, DATA_DIR: dataDir }
  const server = spawnServer(t, { env })
  t.equal(await push(await readyUrl(server), 'q', 'survives'), 201)
  t.not(postgresIn(dataDir).length, 0)
  server.process.kill('SIGKILL')
  t.equal(await server.ended, 'SIGKILL')
  await noPostgresLeft(dataDir, 5_000)
  t.same(await pop(await readyUrl(spawnServer(t, { env })), 'q'), ['survives'])
})

t.test('ends with exit code 1 when its embedded database ends, so that it is started again', async t => {
  const dataDir = makeFolder(t)
  const server = spawnServer(t, { env: { DATA_DIR: dataDir } })
  await readyUrl(server)
  process.kill(serverPid(dataDir), 'SIGKILL')
  t.equal(await server.ended, 1)
  t.match(server.output(), 'the embedded PostgreSQL ended unexpectedly (SIGKILL)')
})

t.test('SIGTERM during the start stops it with exit code 0', async t => {
  t.test('while the embedded database is being made', async t => {
    const dataDir = makeFolder(t)
    const server = spawnServer(t, { env: { DATA_DIR: dataDir } })
    await waitFor('the first log line', 30_000, () => server.output().includes('PostgreSQL cluster made'))
    server.process.kill('SIGTERM')
    t.equal(await server.ended, 0, server.output())
    t.same(postgresIn(dataDir), [])
    t.equal(server.errors(), '')
  })

  t.test('while it waits for a database that is away', async t => {
    const server = spawnServer(t, { env: { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/d' } })
    await waitFor('two attempts', 30_000, () => server.output().split('the database cannot be reached yet').length > 2)
    server.process.kill('SIGTERM')
    t.equal(await server.ended, 0, server.output())
    t.equal(server.errors(), '')
  })
})

t.test('what the operator can put right is said in a sentence that names the variable, with exit code 1', async t => {
  t.test('wrong options, all of them at once', async t => {
    const server = spawnServer(t, {
      env: { PORT: 'http', DB_POOL_SIZE: '1', LOG_LEVEL: 'loud', PG_USE_SSL: 'yes', DB_SCHEMA: 'Regent;', JWT_ENABLED: 'yes', DATABASE_URL: 'postgres://u:se#cret@/x:y' }
    })
    t.equal(await server.ended, 1)
    const named = server.errors().split('\n').map(line => /^ {2}([A-Z_]+): /.exec(line)?.[1]).filter(name => name !== undefined)
    t.same(named.sort(), ['DATABASE_URL', 'DB_POOL_SIZE', 'DB_SCHEMA', 'JWT_ENABLED', 'LOG_LEVEL', 'PG_USE_SSL', 'PORT'])
    t.notMatch(server.output(), 'se#cret')
    t.notMatch(server.output(), /^ {4}at /m, 'no stack')
  })

  async function fails (t: Test, env: Record<string, string>): Promise<string> {
    const server = spawnServer(t, { env: { ...quiet, ...env } })
    t.equal(await server.ended, 1)
    t.notMatch(server.output(), /^ {4}at /m, 'no stack')
    return server.errors()
  }

  t.test('a port in use; the embedded database is stopped again', async t => {
    const other = createServer().listen(0, '0.0.0.0')
    t.teardown(() => { other.close() })
    await new Promise(resolve => other.once('listening', resolve))
    const dataDir = makeFolder(t)
    t.match(await fails(t, { DATA_DIR: dataDir, PORT: String((other.address() as AddressInfo).port) }), /^PORT: .*in use/)
    t.same(postgresIn(dataDir), [])
  })

  t.test('an address that is not ours', async t => {
    t.match(await fails(t, { DATABASE_URL: await createDatabase(t), HOST: '203.0.113.7' }), /^HOST: .*203\.0\.113\.7/)
  })

  t.test('a database that refuses', async t => {
    const databaseUrl = new URL(await createDatabase(t))
    databaseUrl.username = 'no_such_role'
    databaseUrl.password = 'not-to-be-printed'
    const said = await fails(t, { DATABASE_URL: databaseUrl.href })
    t.match(said, /^DATABASE_URL: .*no_such_role/)
    t.notMatch(said, 'not-to-be-printed')
  })
})

t.test('--help lists every variable', async t => {
  const server = spawnServer(t, { env: {}, command: [process.execPath, join(projectDir, 'dist/server.js'), '--help'] })
  t.equal(await server.ended, 0, server.output())
  for (const name of ['PORT', 'DATABASE_URL', 'DATA_DIR', 'SHUTDOWN_TIMEOUT']) t.match(server.output(), new RegExp(`^ {2}${name} `, 'm'))
})
