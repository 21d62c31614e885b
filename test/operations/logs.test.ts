import t from 'tap'
import type { Test } from 'tap'
import type postgres from 'postgres'
import { startServer } from '../fault/server-under-test.ts'
import type { ServerUnderTest, Setup } from '../fault/server-under-test.ts'
import { connect, databaseUrl as databaseUrlOf, request, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { LEVELS, linesOf, linesSaying } from './log-lines.ts'

const LONGEST_MS = 60_000

interface Logged extends ServerUnderTest {
  call: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>
  /** Lets nobody into its database any more, and in again. */
  leave: () => Promise<void>
  comeBack: () => Promise<void>
  sql: () => postgres.Sql
}

async function startLogged (t: Test, setup: Setup = {}): Promise<Logged> {
  const server = await startServer(t, setup)
  const admin = connect(t, databaseUrlOf(), 1)
  const name = new URL(server.databaseUrl).pathname.slice(1)
  return {
    ...server,
    call: async (method, path, body, headers = {}) => await request(server.url + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }),
    leave: async () => {
      await admin.unsafe(`alter database ${name} with allow_connections false`)
      await admin`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`
    },
    comeBack: async () => { await admin.unsafe(`alter database ${name} with allow_connections true`) },
    sql: () => connect(t, server.databaseUrl, 1)
  }
}

t.test('the life of a server is told in lines of JSON, one for each event', async t => {
  const { server, url, call, leave, comeBack } = await startLogged(t, { env: { LOG_LEVEL: 'info' } })
  t.match(linesSaying(server, 'Regent is starting'), [{ level: LEVELS.info, version: /^\d+\.\d+\.\d+/, node: process.version, workers: 1 }])
  t.match(linesSaying(server, 'database schema brought up to date'), [{ schema: 'regent', applied: [] }])
  await until(() => linesSaying(server, 'Regent is ready').length > 0, LONGEST_MS)
  t.match(linesSaying(server, 'Regent is ready'), [{ url }])

  t.equal((await call('POST', '/api/v1/push', { items: [{ queue: 'q', payload: 1 }] })).status, 201)
  t.equal((await call('POST', '/api/v1/push', { items: [{ queue: '' }] })).status, 400)
  t.equal((await call('GET', '/nowhere')).status, 404)
  t.same(linesSaying(server, /request/), [], 'what clients do well or badly is not worth a line at this level')

  await leave()
  t.match((await call('POST', '/api/v1/push', { items: [{ queue: 'q', payload: 2 }] })).json, [{ status: 'buffered' }])
  await until(() => linesSaying(server, 'the database is away').length > 0, LONGEST_MS)
  t.match(linesSaying(server, 'the database is away'), [{ level: LEVELS.warn, err: { type: String, code: String } }])
  await comeBack()
  await until(() => linesSaying(server, 'pushes: stored in the database').length === 1, LONGEST_MS)
  const states = linesSaying(server, /^pushes: /).map(({ state }) => state)
  t.same([states[0], states.at(-1), states.includes('draining')], ['away', 'direct', true])

  server.process.kill('SIGTERM')
  t.equal(await server.ended, 0)
  t.match(linesOf(server).slice(-2), [{ msg: 'stopping', signal: 'SIGTERM' }, { msg: 'stopped' }])
  for (const line of linesOf(server)) t.match(line, { level: Number, time: Number, pid: server.pid, hostname: String, msg: String })
})

t.test('requests have an id that is in their answers and in their lines', async t => {
  const { server, call, sql } = await startLogged(t, { env: { LOG_LEVEL: 'debug' } })
  const idOf = ({ headers }: Answer): string => headers.get('x-request-id') ?? ''

  await t.test('their own, if it can be one', async t => {
    for (const id of ['a', 'req-1.2:3/4+5=6@7_8', 'x'.repeat(128)]) {
      t.equal(idOf(await call('GET', '/health', undefined, { 'x-request-id': id })), id)
    }
  })

  await t.test('else a new one', async t => {
    for (const id of ['', 'a b', 'a,b', '"', '<script>', 'a\\nb', 'x'.repeat(129), '{"a":1}', 'é']) {
      t.match(idOf(await call('GET', '/health', undefined, { 'x-request-id': id })), /^[0-9a-f]{8}-[0-9a-f-]{27}$/, id)
    }
    t.not(idOf(await call('GET', '/health')), idOf(await call('GET', '/health')))
  })

  await t.test('also where there is no such route, and no such path', async t => {
    for (const path of ['/nowhere', '/api/v1/push/x', '/%ff']) t.equal(idOf(await call('GET', path, undefined, { 'x-request-id': 'mine' })), 'mine', path)
  })

  await t.test('what a client did wrong is a line at level debug, with the pattern of the route', async t => {
    await call('POST', '/api/v1/lease/not-a-lease/extend?token=hidden', { seconds: -1 }, { 'x-request-id': 'wrong' })
    await until(() => linesSaying(server, 'request refused').some(({ reqId }) => reqId === 'wrong'), LONGEST_MS)
    t.match(linesSaying(server, 'request refused').filter(({ reqId }) => reqId === 'wrong'),
      [{ level: LEVELS.debug, method: 'POST', route: '/api/v1/lease/:leaseId/extend', status: Number, err: { type: String, message: String } }])
    t.same(linesOf(server).filter(({ level }) => level > LEVELS.info), [])
  })

  await t.test('a fault of the server is a line at level error, and what the database says of the data is not in it', async t => {
    const database = sql()
    await database.unsafe('alter table regent.queues add constraint refused check (namespace <> \'quoted-by-the-database\')')
    const answer = await call('POST', '/api/v1/configure', { queue: 'q', namespace: 'quoted-by-the-database' }, { 'x-request-id': 'failed' })
    t.match(answer, { status: 500, json: { code: 'RGT_INTERNAL', error: 'Internal error' } })
    await until(() => linesSaying(server, 'request failed').length > 0, LONGEST_MS)
    t.match(linesSaying(server, 'request failed'), [{
      level: LEVELS.error, reqId: 'failed', method: 'POST', route: '/api/v1/configure', status: 500, err: { code: '23514', constraint_name: 'refused', stack: /\n {4}at / }
    }])
    t.notMatch(server.output(), /quoted-by-the-database/)
    await database.unsafe('alter table regent.queues drop constraint refused')
  })
})

t.test('what fails every request is told once, then counted', async t => {
  const { server, call, leave } = await startLogged(t, { env: { LOG_LEVEL: 'info', FILE_BUFFER_DIR: 'off' } })
  await leave()
  const ack = { transactionId: 'x', partitionId: '00000000-0001-8000-8000-000000000000' }
  const answers = await Promise.all(Array.from({ length: 20 }, async () => await call('POST', '/api/v1/ack', ack)))
  t.same(answers.map(({ status }) => status), Array(20).fill(503))
  await until(() => linesSaying(server, 'request failed').length > 0, LONGEST_MS)
  const said = linesSaying(server, 'request failed')
  t.match(said[0], { level: LEVELS.error, route: '/api/v1/ack', status: 503, err: { code: /^RGT_/ } })
  t.equal(new Set(said.map(({ err }) => err.code)).size, said.length, 'one line for each kind')
})

t.test('names and ids break no line, whatever is in them', async t => {
  const { server, call, sql } = await startLogged(t, { env: { LOG_LEVEL: 'trace' } })
  const name = 'a\n{"level":60,"msg":"forged"}\r\n\u001b[31m\u009b31m\u2028\u2029\u0085"\\'
  t.equal((await call('POST', '/api/v1/push', { items: [{ queue: name, partition: name, transactionId: name, payload: 1 }] })).status, 201)
  const path = encodeURIComponent(name)
  t.equal((await call('GET', `/api/v1/pop/queue/${path}?consumerGroup=${path}`)).json.messages.length, 1)
  // What fails on the way to a queue is told with its name.
  await sql().unsafe('alter function regent.pop_v2 rename to pop_gone')
  await call('GET', `/api/v1/pop/queue/${path}?consumerGroup=${path}`)
  await call('GET', '/health', undefined, { 'x-request-id': '"}{"msg":"forged"' })
  await until(() => linesOf(server).some(({ queue }) => queue === name), LONGEST_MS)
  const lines = linesOf(server)
  t.same(lines.filter(({ msg }) => msg === 'forged'), [])
  t.match(lines.find(({ queue }) => queue === name), { group: name })
  t.same([...server.output()].filter(isControl), [])
})

/** Ends a line or controls a terminal; the end of the lines that are meant is none. */
function isControl (character: string): boolean {
  const code = character.codePointAt(0) ?? 0
  return (code < 32 && character !== '\n') || (code >= 127 && code < 160) || code === 0x2028 || code === 0x2029
}
