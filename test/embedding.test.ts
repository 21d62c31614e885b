import { join } from 'node:path'
import cors from '@fastify/cors'
import underPressure from '@fastify/under-pressure'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent, { RegentError } from '../index.ts'
import type { EmbeddedQueue, RegentOptions } from '../index.ts'
import { projectDir, spawnServer } from './fixtures/server-process.ts'
import { connect, createDatabase, until } from './support.ts'

/** An application that has opinions: its own decorators, errors, parsers, hooks, 404, CORS and pressure rules. */
async function makeHost (t: Test, register: (app: FastifyInstance) => void | Promise<void>): Promise<FastifyInstance> {
  const app = Fastify({ bodyLimit: 1000 })
  t.teardown(async () => { await app.close() })
  // The names that Regent uses within its own scope, of another type.
  const { decorate } = app as unknown as { decorate: (name: string, value: unknown) => void }
  for (const name of ['queue', 'postgres']) decorate.call(app, name, 'the host\'s own')
  await app.register(cors, { origin: 'https://host.example' })
  await app.register(underPressure, { maxEventLoopDelay: 10_000 })
  app.setErrorHandler(async (error, _request, reply) => await reply.code(418).send({ host: (error as Error).message }))
  app.setNotFoundHandler(async (_request, reply) => await reply.code(404).send({ host: 'nothing here' }))
  app.addContentTypeParser('text/csv', { parseAs: 'string' }, (_request, body, done) => { done(null, String(body).split(',')) })
  app.addHook('onRequest', async (_request, reply) => { reply.header('x-host', 'yes') })
  await register(app)
  app.post('/echo', async request => ({ got: request.body }))
  app.get('/throws', async () => { throw new Error('of the host') })
  app.get('/plain', async () => 'text')
  await app.ready()
  return app
}

/** How the host answers, as far as a plugin could change it. */
async function behaviour (app: FastifyInstance): Promise<unknown[]> {
  const json = { 'content-type': 'application/json' }
  const answers: unknown[] = []
  for (const request of [
    { method: 'POST', url: '/echo', headers: json, payload: '{"a":1}' },
    { method: 'POST', url: '/echo', headers: json, payload: '{"__proto__":{}}' },
    { method: 'POST', url: '/echo', headers: json, payload: '{' },
    { method: 'POST', url: '/echo', headers: json, payload: '' },
    { method: 'POST', url: '/echo', headers: json, payload: JSON.stringify('x'.repeat(2000)) },
    { method: 'POST', url: '/echo', headers: { 'content-type': 'text/csv' }, payload: 'a,b' },
    { method: 'POST', url: '/echo', headers: { 'content-type': 'application/x-unknown' }, payload: 'a' },
    { method: 'GET', url: '/throws' },
    { method: 'GET', url: '/plain' },
    { method: 'GET', url: '/health' },
    { method: 'GET', url: '/api/v1/pop/queue/q' },
    { method: 'GET', url: '/nowhere', headers: { origin: 'https://other.example' } },
    { method: 'OPTIONS', url: '/echo', headers: { origin: 'https://host.example', 'access-control-request-method': 'POST' } }
  ] as const) {
    const { statusCode, headers, body } = await app.inject(request)
    delete headers.date
    answers.push({ request, statusCode, headers, body })
  }
  return answers
}

const push = { method: 'POST', url: '/api/v1/push', payload: '{"items":[{"queue":"q","payload":1.10}]}' } as const

t.test('a host answers as it did before, and Regent answers under its prefix only', async t => {
  const databaseUrl = await createDatabase(t)
  const before = await behaviour(await makeHost(t, () => {}))
  const app = await makeHost(t, async app => { await app.register(regent, { prefix: '/mq', databaseUrl }) })
  t.same(await behaviour(app), before)
  t.equal(app.queue as unknown, 'the host\'s own')
  t.equal(app.postgres as unknown, 'the host\'s own')

  t.equal((await app.inject({ ...push, url: '/mq/api/v1/push', headers: { 'content-type': 'text/csv' } })).statusCode, 201, 'any content type is JSON')
  t.match((await app.inject('/mq/api/v1/pop/queue/q')).body, '"data":1.10')
  t.match((await app.inject('/mq/health')).json(), { status: 'healthy' })
  t.match((await app.inject('/mq/nowhere')).json(), { code: 'RGT_ROUTE_NOT_FOUND' })
  const refused = await app.inject({ ...push, url: '/mq/api/v1/push', payload: '{' })
  t.match(refused, { statusCode: 400 })
  t.match(refused.json(), { code: 'RGT_BODY_NOT_JSON' })
  const large = JSON.stringify({ items: [{ queue: 'q', payload: 'x'.repeat(5000) }] })
  t.equal((await app.inject({ ...push, url: '/mq/api/v1/push', payload: large })).statusCode, 201, 'the host\'s limit for bodies is the host\'s')
  t.equal((await app.inject('/mq/health')).headers['x-host'], 'yes', 'hooks of the host apply to everything mounted in it')
  const preflight = await app.inject({ method: 'OPTIONS', url: '/mq/api/v1/push', headers: { origin: 'https://other.example', 'access-control-request-method': 'POST' } })
  t.equal(preflight.headers['access-control-allow-origin'], 'https://host.example', 'and so do its rules for other origins')
})

t.test('browsers may call from anywhere, under the prefix and nowhere else', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(regent, { prefix: '/mq', databaseUrl: await createDatabase(t) })
  app.post('/mq-admin', async () => 'done')
  const preflight = async (url: string): Promise<unknown[]> => {
    const { statusCode, headers } = await app.inject({ method: 'OPTIONS', url, headers: { origin: 'https://a.example', 'access-control-request-method': 'POST' } })
    return [statusCode, headers['access-control-allow-origin'], headers['access-control-allow-methods']]
  }
  t.same(await preflight('/mq/api/v1/push'), [204, '*', 'GET, POST, PUT, DELETE, OPTIONS'])
  t.same(await preflight('/mq-admin'), [404, undefined, undefined])
  t.equal((await app.inject({ method: 'POST', url: '/mq-admin' })).headers['access-control-allow-origin'], undefined)
  t.equal((await app.inject('/mq/health')).headers['access-control-allow-origin'], '*')
})

t.test('mounted at the root it leaves the unknown routes to a host that answers them', async t => {
  const databaseUrl = await createDatabase(t)
  const app = await makeHost(t, app => { void app.register(regent, { databaseUrl }) })
  t.match((await app.inject('/nowhere')).json(), { host: 'nothing here' })
  t.equal((await app.inject(push)).statusCode, 201)
})

t.test('several in one process keep apart', async t => {
  const databaseUrl = await createDatabase(t)
  const make = async (...mounts: Array<Partial<RegentOptions>>): Promise<FastifyInstance> => {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    for (const mount of mounts) await app.register(regent, { databaseUrl, ...mount })
    await app.ready()
    return app
  }
  const both = await make(
    { prefix: '/a', decorator: 'queueA', databaseSchema: 'schema_a' },
    { prefix: '/b', decorator: 'queueB', databaseSchema: 'schema_b' })
  const other = await make({ prefix: '/a', databaseSchema: 'schema_c' })
  const joined = await make({ prefix: '/a', databaseSchema: 'schema_a' })
  const { queueA, queueB } = both as unknown as Record<'queueA' | 'queueB', EmbeddedQueue>

  const waiting = queueB.pop({ queue: 'q', waitMs: 60_000 })
  const elsewhere = joined.regent.pop({ queue: 'q', waitMs: 60_000, group: 'joined' })
  await until(async () => (await both.inject('/b/health')).json().load.parkedPops === 1 && (await joined.inject('/a/health')).json().load.parkedPops === 1)
  t.equal((await both.inject({ ...push, url: '/a/api/v1/push' })).statusCode, 201)
  t.match(await elsewhere, [{ data: 1.1 }], 'two on one schema are one service')
  t.same(await queueB.pop({ queue: 'q' }), [])
  t.same(await other.regent.pop({ queue: 'q' }), [])
  await queueB.push([{ queue: 'q', payload: 'for b' }])
  t.match(await waiting, [{ data: 'for b' }])
  t.match(await queueA.pop({ queue: 'q' }), [{ data: 1.1, dataText: '1.10' }])

  await other.close()
  t.equal((await both.inject('/a/health')).statusCode, 200, 'closing one leaves the others')
})

t.test('a second one under the same decorator is refused in words', async t => {
  const databaseUrl = await createDatabase(t)
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(regent, { prefix: '/a', databaseUrl })
  await t.rejects(async () => await app.register(regent, { prefix: '/b', databaseUrl }), { code: 'RGT_OPTIONS_INVALID', message: /decorator: .*regent/ })
})

t.test('wrong options are refused, all of them at once, before anything is opened', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const options = { prefix: 'mq/', poolSize: 0, databseUrl: 'x', maxItems: 1.5, decorator: 'a-b', databaseSchema: 'x"y', databaseSsl: 'yes' }
  const error = await app.register(regent, options as unknown as Partial<RegentOptions>).then(() => null, (error: unknown) => error)
  t.ok(error instanceof RegentError)
  const { code, message } = error as RegentError
  t.equal(code, 'RGT_OPTIONS_INVALID')
  for (const name of ['prefix', 'poolSize', 'databseUrl: is not an option', 'maxItems', 'decorator', 'databaseSchema', 'databaseSsl', 'databaseUrl or databaseHost']) {
    t.match(message, name)
  }
  t.notOk(app.hasDecorator('regent'))
})

t.test('a database that is away fails the host\'s start with the reason, within the host\'s own time', async t => {
  const app = Fastify({ pluginTimeout: 1500 })
  t.teardown(async () => { await app.close() })
  await t.rejects(async () => await app.register(regent, { databaseUrl: 'postgres://u:p@127.0.0.1:1/d' }), { code: 'ECONNREFUSED' })
})

t.test('the process is the host\'s: no listeners, no exit, and nothing that keeps it alive', async t => {
  const child = spawnServer(t, {
    env: {},
    command: [process.execPath, join(projectDir, 'test/fixtures/embedding-child.mjs'), join(projectDir, 'dist/index.js'), await createDatabase(t)]
  })
  t.equal(await child.ended, 0, child.output())
  t.same(child.output().trim().split('\n'), ['same listeners', 'RGT_SHUTTING_DOWN', 'parked 200', 'same listeners', 'closed'])
})

t.test('closing the host gives back everything', async t => {
  const databaseUrl = await createDatabase(t)
  const sql = connect(t, databaseUrl)
  const connections = async (): Promise<number> => {
    const [row] = await sql`select count(*)::int as n from pg_stat_activity where application_name like 'regent%' and datname = current_database()`
    return row?.n as number
  }
  const app = Fastify()
  await app.register(regent, { databaseUrl })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  await app.regent.push([{ queue: 'q', payload: 1 }])
  const parked = fetch(`${address}/api/v1/pop/queue/empty?wait=true&timeout=60000`)
  const waiting = app.regent.pop({ queue: 'empty', waitMs: 60_000 })
  await until(async () => (await app.inject('/health')).json().load.parkedPops === 2)
  t.ok(await connections() >= 2)

  await app.close()
  t.equal((await parked).status, 200)
  t.same(await waiting, [])
  t.equal(await connections(), 0)
  await t.rejects(app.regent.pop({ queue: 'q' }), { code: 'RGT_SHUTTING_DOWN' }, 'a consumer\'s loop ends')
  await t.rejects(app.regent.push([{ queue: 'q', payload: 1 }]), { code: 'RGT_SHUTTING_DOWN' })
  await app.close()
})
