import { randomBytes } from 'node:crypto'
import t from 'tap'
import { readyUrl, spawnServer } from '../fixtures/server-process.ts'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { sign } from '../auth/support.ts'
import { rawBytes } from '../routes/raw-http.ts'
import { connect, createDatabase, databaseUrl as databaseUrlOf, request, until } from '../support.ts'
import { linesOf, linesSaying } from './log-lines.ts'

const LONGEST_MS = 60_000
/** Stands in everything that is nobody's business. */
const SECRET = `hush${randomBytes(8).toString('hex')}`

t.test('whatever happens, payloads, tokens, passwords and queries of URLs are not in the logs', async t => {
  const databaseUrl = await createDatabase(t)
  const withPassword = new URL(databaseUrl)
  withPassword.password = `password-${SECRET}`
  const jwtSecret = `a long enough key ${SECRET}`
  const server = spawnServer(t, {
    env: {
      LOG_LEVEL: 'trace',
      DATABASE_URL: withPassword.href,
      FILE_BUFFER_DIR: makeFolder(t),
      HOST: '127.0.0.1',
      JWT_ENABLED: 'true',
      JWT_SECRET: jwtSecret,
      QUEEN_ENCRYPTION_KEY: Buffer.from(SECRET).toString('hex').padEnd(64, '0').slice(0, 64)
    }
  })
  const url = await readyUrl(server)
  const admin = await sign({ sub: `somebody-${SECRET}@example.com`, role: 'admin' }, { key: jwtSecret })
  const reader = await sign({ sub: SECRET, role: 'read-only' }, { key: jwtSecret })
  const call = async (method: string, path: string, body?: string, headers: Record<string, string> = {}) => await request(url + path, {
    method, headers: { authorization: `Bearer ${admin}`, cookie: `session=${SECRET}`, 'x-api-key': SECRET, ...headers }, ...(body === undefined ? {} : { body })
  })
  const payload = JSON.stringify({ card: SECRET })
  const item = (queue: string, more = ''): string => `{"items":[{"queue":"${queue}","payload":${payload}${more}}]}`

  await t.test('while it serves', async t => {
    t.equal((await call('POST', `/api/v1/push?token=${SECRET}`, item('plain'))).status, 201)
    t.equal((await call('POST', '/api/v1/configure', '{"queue":"sealed","options":{"encryptionEnabled":true}}')).status, 200)
    t.equal((await call('POST', '/api/v1/push', item('sealed'))).status, 201)
    const [message] = (await call('GET', `/api/v1/pop/queue/plain?secret=${SECRET}`)).json.messages
    t.equal((await call('POST', '/api/v1/traces', JSON.stringify({ ...message, data: { note: SECRET } }))).status, 201)
    t.equal((await call('POST', '/api/v1/ack', JSON.stringify({ ...message, status: 'failed', error: SECRET }))).status, 200)
    t.equal((await call('GET', `/api/v1/messages?queue=plain&x=${SECRET}`)).status, 200)
  })

  await t.test('while it refuses', async t => {
    for (const body of [`{"items":[{"queue":"q","payload":"${SECRET}`, `${SECRET}`, `{"items":[{"queue":"","payload":${payload}}]}`, `{"${SECRET}":1}`, `{"items":[{"queue":"q","traceId":"${SECRET}"}]}`, `{"operations":[{"type":"${SECRET}"}]}`, `${'['.repeat(600)}"${SECRET}"`]) {
      for (const path of ['/api/v1/push', '/api/v1/ack', '/api/v1/transaction', '/api/v1/configure', '/api/v1/traces']) await call('POST', path, body)
    }
    for (const path of [`/${SECRET}`, `/api/v1/${SECRET}?a=${SECRET}`, `/%ff${SECRET}`, `/api/v1/messages?from=${SECRET}`, `/api/v1/lease/${SECRET}/extend`, `/api/v1/dlq/${SECRET}`, `/api/v1/messages/${SECRET}/${SECRET}`]) await call('GET', path)
    t.equal((await call('POST', '/api/v1/push', item('plain'), { authorization: `Bearer ${reader}` })).status, 403)
    for (const authorization of [`Bearer ${SECRET}`, SECRET, `Basic ${Buffer.from(`user:${SECRET}`).toString('base64')}`, `Bearer ${admin}x`, `Bearer ${admin.split('.').slice(0, 2).join('.')}.${SECRET}`]) {
      t.equal((await call('POST', '/api/v1/push', item('plain'), { authorization })).status, 401)
    }
    await rawBytes(url, `GET /${SECRET} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${SECRET}\r\nbroken header: ${SECRET}\r\n\r\n`)
  })

  await t.test('while its database refuses what it is given, or is away', async t => {
    const sql = connect(t, databaseUrl, 1)
    await sql.unsafe('alter table regent.segments add constraint refused check (strpos(body, \'refuse-me\') = 0)')
    t.equal((await call('POST', '/api/v1/push', item('plain', ',"transactionId":"refuse-me"'))).status, 500)
    await until(() => linesSaying(server, 'request failed').length > 0, LONGEST_MS)
    t.match(linesSaying(server, 'request failed'), [{ err: { code: '23514' } }])
    await sql.unsafe('alter table regent.segments drop constraint refused')
    const name = new URL(databaseUrl).pathname.slice(1)
    const outside = connect(t, databaseUrlOf(), 1)
    await outside.unsafe(`alter database ${name} with allow_connections false`)
    await outside`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`
    t.match((await call('POST', '/api/v1/push', item('plain'))).json, [{ status: 'buffered' }])
    t.equal((await call('POST', '/api/v1/transaction', `{"operations":[{"type":"push","queue":"plain","payload":${payload}}]}`)).status, 503)
    await call('GET', '/api/v1/pop/queue/plain')
    await outside.unsafe(`alter database ${name} with allow_connections true`)
    await until(() => linesSaying(server, 'pushes: stored in the database').length > 0, LONGEST_MS)
  })

  server.process.kill('SIGTERM')
  t.equal(await server.ended, 0)
  t.ok(linesOf(server).some(({ level }) => level === 20), 'also what is only said at the lowest levels')
  const forms = [SECRET, Buffer.from(SECRET).toString('hex'), Buffer.from(SECRET).toString('base64').slice(0, 20), admin, reader, admin.split('.')[1] ?? admin, 'example.com']
  for (const form of forms) t.notOk(server.output().includes(form), `${form} stands in: ${server.output().split('\n').filter(line => line.includes(form)).join('\n').slice(0, 2000)}`)
})

t.test('what keeps it from starting is told without passwords', async t => {
  for (const DATABASE_URL of [`postgres://user:${SECRET}@127.0.0.1:1/x`, `postgres://user:${SECRET}@[nonsense`, `postgres://user:${SECRET}@no.such.host.invalid/x?password=${SECRET}`]) {
    const server = spawnServer(t, { env: { LOG_LEVEL: 'trace', DATABASE_URL, FILE_BUFFER_DIR: 'off', CONNECT_TIMEOUT: '100' } })
    await until(() => server.hasEnded() || /cannot be reached yet/.test(server.output()), LONGEST_MS)
    t.notOk(server.output().includes(SECRET), server.output())
    server.signalGroup('SIGKILL')
  }
})
