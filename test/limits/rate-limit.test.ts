import { get } from 'node:http'
import { join } from 'node:path'
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyListenOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent from '../../index.ts'
import type { RegentOptions } from '../../index.ts'
import { bearer, sign, startProtected } from '../auth/support.ts'
import { RawClient } from '../fault/raw-client.ts'
import { notOnLinux, startServer } from '../fault/server-under-test.ts'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { createDatabase, request, startService, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { connectEach } from '../workers/connections.ts'
import { isRefused } from './table.ts'

// No test lasts so long: what was counted stays counted.
const WINDOW_MS = 3_600_000
const LIST = '/api/v1/resources/queues'
const ID = '00000000-0001-8000-8000-000000000000'

t.test('a client that sends more than it may', async t => {
  const service = await startService(t, { rateLimitRequests: 4, rateLimitWindowMs: WINDOW_MS })

  t.test('is refused on every route that brings or takes work', async t => {
    const within = [await service.push([{ queue: 'q', payload: 1 }]), await service.pop('q?autoAck=true'), await service.call('GET', LIST), await service.call('GET', LIST)]
    t.same(within.map(({ status, headers }) => [status, headers.get('x-ratelimit-remaining')]), [[201, '3'], [200, '2'], [200, '1'], [200, '0']])
    isRefused(t, 'rateLimitRequests', await service.push([{ queue: 'q', payload: 'refused' }]))
    for (const [method, path] of [
      ['GET', '/api/v1/pop/queue/q?autoAck=true'], ['GET', '/api/v1/pop?namespace=n'], ['POST', '/api/v1/transaction'], ['POST', '/api/v1/configure'],
      ['DELETE', '/api/v1/resources/queues/q'], ['GET', '/api/v1/channels'], ['POST', `/api/v1/channels/${ID}/requests`]
    ] as const) isRefused(t, 'rateLimitRequests', await service.call(method, path), path)
    const { headers } = await service.call('GET', LIST)
    const seconds = Number(headers.get('retry-after'))
    t.ok(seconds > WINDOW_MS / 1000 - 600 && seconds <= WINDOW_MS / 1000, `the window goes on for ${seconds} s`)
    isRefused(t, 'rateLimitRequests', await service.call('GET', LIST, undefined, { headers: { 'x-forwarded-for': '198.51.100.7' } }), 'an address that it only says is its own')
    t.same(await service.app.regent.pop({ queue: 'q' }), [], 'nothing of what was refused was stored; the code around it is not limited')
  })

  t.test('may say what became of its work, and look how the service is', async t => {
    for (const [method, path, status, body] of [
      ['POST', '/api/v1/ack', 200, { transactionId: 'x', partitionId: ID }],
      ['POST', '/api/v1/ack/batch', 200, { acknowledgments: [{ transactionId: 'x', partitionId: ID }] }],
      ['POST', `/api/v1/lease/${ID}/extend`, 404, {}],
      ['POST', `/api/v1/channels/${ID.replace('0001', '0002')}/requests/${ID}/reply`, 404, {}],
      ['GET', '/health', 200, undefined],
      ['GET', '/metrics', 200, undefined],
      ['GET', '/metrics/prometheus', 200, undefined]
    ] as const) {
      const answers = await Promise.all(Array.from({ length: 6 }, async () => await service.call(method, path, body)))
      t.same(answers.map(answer => answer.status), Array(6).fill(status), path)
    }
    t.equal((await service.call('GET', '/api/v1/nothing')).status, 404)
    t.equal((await service.call('OPTIONS', '/api/v1/push')).status, 204)
  })
})

t.test('the next window begins after the time that was said', async t => {
  const service = await startService(t, { rateLimitRequests: 1, rateLimitWindowMs: 2000 })
  const answers = await Promise.all(Array.from({ length: 20 }, async () => await service.call('GET', LIST)))
  const refused = answers.filter(({ status }) => status === 429)
  t.ok(refused.length > 0)
  for (const { headers } of refused) t.match(headers.get('retry-after'), /^[12]$/)
  await until(async () => (await service.call('GET', LIST)).status === 200)
})

t.test('a client is its subject, or else its address', async t => {
  const service = await startProtected(t, { rateLimitRequests: 2, rateLimitWindowMs: WINDOW_MS })
  const list = async (claims: Record<string, unknown>): Promise<Answer> => await service.as(await sign({ role: 'admin', ...claims }), 'GET', LIST)
  for (const sub of ['ada', 'grace']) {
    t.equal((await list({ sub })).status, 200)
    t.equal((await list({ sub, jti: 'another token' })).status, 200)
    isRefused(t, 'rateLimitRequests', await list({ sub, jti: 'a third' }), sub)
  }
  // Whoever can make up tokens could use up the requests of everybody behind the same proxy.
  for (let i = 0; i < 5; i++) t.equal((await service.call('GET', LIST, undefined, bearer('x'))).status, 401, 'who is not let in is not counted')
  t.equal((await list({})).status, 200)
  t.equal((await list({ jti: 'another token' })).status, 200)
  isRefused(t, 'rateLimitRequests', await list({ jti: 'a third' }), 'without a subject')
  t.equal((await list({ sub: '127.0.0.1' })).status, 200, 'a subject is no address')
})

interface Host {
  trustProxy?: boolean
  /** What it does before it takes in the service. */
  before?: (app: FastifyInstance) => Promise<void>
  listen?: FastifyListenOptions
}

/** An application with a route of its own; returns where it listens. */
async function startHost (t: Test, options: Partial<RegentOptions>, { trustProxy = false, before, listen = { port: 0, host: '127.0.0.1' } }: Host = {}): Promise<{ app: FastifyInstance, url: string }> {
  const app = Fastify({ trustProxy, forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  await before?.(app)
  await app.register(regent, { databaseUrl: await createDatabase(t), prefix: '/mq', maxEventLoopDelayMs: 0, rateLimitWindowMs: WINDOW_MS, ...options })
  app.get('/own', async () => 'served')
  return { app, url: await app.listen(listen) }
}

/** The status of a request over a unix socket. */
async function statusOn (socketPath: string, path: string): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    get({ socketPath, path, agent: false }, response => { resolve(response.resume().statusCode) }).on('error', reject)
  })
}

t.test('in an application', async t => {
  t.test('its own routes are not limited, and it says whose word on addresses counts', async t => {
    const { url } = await startHost(t, { rateLimitRequests: 1 }, { trustProxy: true })
    const from = async (address: string, path: string): Promise<Answer> => await request(url + path, { headers: { 'x-forwarded-for': address } })
    for (const address of ['198.51.100.7', '198.51.100.8', '2001:db8:1::1']) {
      t.equal((await from(address, `/mq${LIST}`)).status, 200, address)
      isRefused(t, 'rateLimitRequests', await from(address, `/mq${LIST}`), address)
      t.equal((await from(address, '/mq/health')).status, 200)
      const own = await from(address, '/own')
      t.same([own.status, own.headers.get('x-ratelimit-limit')], [200, null])
    }
    isRefused(t, 'rateLimitRequests', await from('2001:db8:1::2', `/mq${LIST}`), 'a network of IPv6 is one client')
    t.equal((await from('2001:db8:2::1', `/mq${LIST}`)).status, 200)
  })

  t.test('limits of the application hold as well, for all of its routes', async t => {
    const { url } = await startHost(t, { rateLimitRequests: 2 }, { before: async app => { await app.register(rateLimit, { max: 4, timeWindow: WINDOW_MS }) } })
    const statuses: number[] = []
    for (const path of [LIST, LIST, LIST, '/health']) statuses.push((await request(`${url}/mq${path}`)).status)
    t.same(statuses, [200, 200, 429, 200])
    isRefused(t, 'rateLimitRequests', await request(`${url}/mq/health`), 'refused by the application, in words of ours')
    t.match(await request(`${url}/own`), { status: 429, json: { code: undefined } }, 'and in its own elsewhere')
  })

  t.test('on a unix socket all are one client', async t => {
    const path = join(makeFolder(t), 'http')
    await startHost(t, { rateLimitRequests: 1 }, { listen: { path } })
    t.same([await statusOn(path, `/mq${LIST}`), await statusOn(path, `/mq${LIST}`), await statusOn(path, '/mq/health')], [200, 429, 200])
  })

  t.test('nothing is registered unless it is asked for', async t => {
    const off = await startHost(t, {})
    const on = await startHost(t, { rateLimitRequests: 1 })
    t.notMatch(off.app.printPlugins(), 'rate-limit')
    t.match(on.app.printPlugins(), 'rate-limit')
    t.equal((await request(`${off.url}/mq${LIST}`)).headers.get('x-ratelimit-limit'), null)
  })
})

t.test('with several processes each counts for itself, and what is handed on is counted once', { skip: notOnLinux }, async t => {
  const { url } = await startServer(t, { env: { WORKERS: '2', RATE_LIMIT_REQUESTS: '5', RATE_LIMIT_WINDOW: String(WINDOW_MS), MAX_EVENT_LOOP_DELAY: '0' } })
  for (const connection of await connectEach(new RawClient(t, url), 2)) {
    // Answered by the main process.
    for (let i = 0; i < 5; i++) t.equal((await connection.call('GET', '/api/v1/status/channels')).status, 200)
    isRefused(t, 'rateLimitRequests', await connection.call('GET', '/api/v1/status/channels'), `worker ${connection.worker}`)
  }
})
