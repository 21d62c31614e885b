import type { Socket } from 'node:net'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent, { RegentError } from '../../index.ts'
import type { Authorize, NeededAccess } from '../../index.ts'
import { createDatabase, request, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { seconds, sign, startProtected } from './support.ts'

interface Host { app: FastifyInstance, call: (method: string, path: string, body?: unknown, init?: RequestInit) => Promise<Answer> }

/** An application that authorizes requests itself. */
async function startHost (t: Test, authorize: Authorize<FastifyRequest>): Promise<Host> {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  await app.register(regent, { databaseUrl: await createDatabase(t), prefix: '/mq', authorize, maxEventLoopDelayMs: 0 })
  app.get('/own', async () => 'open')
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    call: async (method, path, body, init = {}) => await request(url + path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }), ...init })
  }
}

t.test('an application is asked about every request but the public ones, and says who it is', async t => {
  const asked: [string, NeededAccess][] = []
  const { app, call } = await startHost(t, ({ method, url, headers }, access) => {
    asked.push([`${method} ${url}`, access])
    return { subject: String(headers['x-user']), queues: ['q', 'team.*'] }
  })
  const user = { headers: { 'x-user': 'ada' } }
  t.equal((await call('POST', '/mq/api/v1/push', { items: [{ queue: 'q' }, { queue: 'team.x' }] }, user)).status, 201)
  t.match(await call('POST', '/mq/api/v1/push', { items: [{ queue: 'teams' }] }, user), { status: 403, json: { code: 'RGT_QUEUE_FORBIDDEN', field: 'items[0].queue' } })
  t.match((await call('GET', '/mq/api/v1/pop/queue/q')).json.messages, [{ producerSub: 'ada' }])
  t.equal((await call('GET', '/mq/api/v1/pop?namespace=team')).status, 403)
  t.same(asked, [
    ['POST /mq/api/v1/push', 'produce'], ['POST /mq/api/v1/push', 'produce'], ['GET /mq/api/v1/pop/queue/q', 'consume'], ['GET /mq/api/v1/pop?namespace=team', 'consume']
  ])
  for (const [method, path] of [['GET', '/mq/health'], ['GET', '/mq/metrics'], ['OPTIONS', '/mq/api/v1/push'], ['GET', '/mq/nothing'], ['GET', '/own']]) {
    t.not((await call(method ?? '', path ?? '')).status, 403)
  }
  await app.regent.push([{ queue: 'other', payload: 1 }])
  t.match(await app.regent.pop({ queue: 'other' }), [{ producerSub: null }], 'code is never asked')
  t.equal(asked.length, 4)
})

t.test('what an application does not allow is refused', async t => {
  let answer: () => unknown = () => null
  const { call } = await startHost(t, (async () => await answer()) as Authorize<FastifyRequest>) // also what its type does not allow
  const status = async (given: () => unknown): Promise<[number, string]> => {
    answer = given
    const { status, json } = await call('GET', '/mq/api/v1/status')
    return [status, json.code]
  }
  for (const refusal of [null, undefined, false]) t.same(await status(() => refusal), [403, 'RGT_FORBIDDEN'])
  t.match((await call('GET', '/mq/api/v1/status')).json.error, 'Insufficient permissions: read is needed')
  t.equal((await status(() => ({})))[0], 200)
  t.equal((await status(() => ({ subject: null, queues: null })))[0], 200)
  const fails = (fields: object): () => never => () => { throw Object.assign(new Error('no'), fields) }
  t.same(await status(fails({ statusCode: 401 })), [401, 'RGT_AUTH_REQUIRED'])
  t.same(await status(fails({ statusCode: 403 })), [403, 'RGT_FORBIDDEN'])
  for (const statusCode of [400, 404, 413, 429, 503]) t.same(await status(fails({ statusCode })), [500, 'RGT_INTERNAL'], 'an error of the application')
  for (const answer of [true, 0, 1, '', 'admin', NaN, [], ['q']]) t.same(await status(() => answer), [403, 'RGT_FORBIDDEN'], `${JSON.stringify(answer)} is no authorization`)
  t.same(await status(fails({})), [500, 'RGT_INTERNAL'])
  t.same(await status(() => { throw new RegentError('RGT_TOKEN_EXPIRED') }), [401, 'RGT_TOKEN_EXPIRED'])
  for (const thrown of [null, undefined, 0, '', 'no']) t.same(await status(() => { throw thrown }), [500, 'RGT_INTERNAL'], `${String(thrown)} thrown is no leave`)
  for (const mistake of [{ queues: 'q' }, { queues: [1] }, { queues: [''] }, { subject: 7 }, { subject: '' }, { subject: 'x'.repeat(256) }]) {
    t.same(await status(() => mistake), [500, 'RGT_INTERNAL'], `${JSON.stringify(mistake)} does not mean everything`)
  }
})

t.test('a client that leaves before it is let in does not go on waiting for messages', async t => {
  const held: { socket: Socket, letIn: () => void }[] = []
  const { call } = await startHost(t, async ({ headers, raw: { socket } }) => {
    if (headers['x-slow'] !== undefined) await new Promise<void>(resolve => { held.push({ socket, letIn: resolve }) })
    return {}
  })
  const leaving = new AbortController()
  const gone = call('GET', '/mq/api/v1/pop/queue/q?wait=true&timeout=60000', undefined, { headers: { 'x-slow': '1' }, signal: leaving.signal })
  await until(() => held.length === 1)
  leaving.abort()
  await t.rejects(gone)
  await until(() => held[0]?.socket.destroyed === true)
  held[0]?.letIn()
  t.equal((await call('GET', '/mq/health')).json.load.parkedPops, 0)
  t.equal((await call('POST', '/mq/api/v1/push', { items: [{ queue: 'q' }] })).status, 201)
  t.match((await call('GET', '/mq/api/v1/pop/queue/q')).json.messages, [{ deliveryCount: 1 }], 'it took nothing')
})

t.test('a pop that waits longer than its token lasts is answered all the same', async t => {
  const service = await startProtected(t, { jwtClockSkewSeconds: 0 })
  const exp = seconds() + 5
  const short = await sign({ role: 'read-write', exp })
  const waiting = service.as(short, 'GET', '/api/v1/pop/queue/q?wait=true&timeout=120000')
  await until(async () => (await service.call('GET', '/health')).json.load.parkedPops === 1)
  await until(async () => (await service.as(short, 'GET', '/api/v1/status/buffers')).status === 401, 20_000)
  t.ok(Date.now() >= exp * 1000)
  await service.as(await sign({ role: 'admin' }), 'POST', '/api/v1/push', { items: [{ queue: 'q', payload: 'late' }] })
  t.match(await waiting, { status: 200, json: { messages: [{ data: 'late' }] } })
})
