import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import type { RouteOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent from '../../index.ts'
import { packageRoot } from '../../services/package-root.ts'
import { createDatabase, request } from '../support.ts'
import type { Answer } from '../support.ts'
import { SECRET, bearer, seconds, sign } from './support.ts'

/** Who may use which access, as the contract and docs/authentication.md have it. */
const ALLOWED: Record<string, string[]> = {
  public: ['nobody', 'read-only', 'produce-only', 'consume-only', 'both halves', 'read-write', 'admin'],
  read: ['read-only', 'read-write', 'admin'],
  produce: ['produce-only', 'both halves', 'read-write', 'admin'],
  consume: ['consume-only', 'both halves', 'read-write', 'admin'],
  transact: ['both halves', 'read-write', 'admin'],
  write: ['read-write', 'admin'],
  admin: ['admin']
}

/** The compatible server's levels: what is not here is our own. RW is any of produce, consume, transact and write. */
const CONTRACT: Record<string, string> = Object.fromEntries(`
P GET /health, RW POST /api/v1/configure, A DELETE /api/v1/resources/queues/:queue, RW POST /api/v1/push,
RW GET /api/v1/pop/queue/:queue, RW GET /api/v1/pop/queue/:queue/partition/:partition, RW POST /api/v1/ack, RW POST /api/v1/ack/batch,
RW POST /api/v1/transaction, RW POST /api/v1/lease/:leaseId/extend, RO GET /api/v1/consumer-groups, RO GET /api/v1/consumer-groups/lagging,
RO GET /api/v1/consumer-groups/:group, A DELETE /api/v1/consumer-groups/:group, A DELETE /api/v1/consumer-groups/:group/queues/:queue,
RW POST /api/v1/consumer-groups/:group/subscription, RW POST /api/v1/consumer-groups/:group/queues/:queue/seek,
RW POST /api/v1/consumer-groups/:group/queues/:queue/partitions/:partition/seek, A GET /api/v1/system/maintenance,
A POST /api/v1/system/maintenance, A GET /api/v1/system/maintenance/pop, A POST /api/v1/system/maintenance/pop,
RO GET /api/v1/status/buffers, RO GET /api/v1/status, RO GET /api/v1/status/queues, RO GET /api/v1/status/queues/:queue,
RO GET /api/v1/status/queues/:queue/messages, RO GET /api/v1/status/analytics, RO GET /api/v1/resources/overview,
RO GET /api/v1/resources/queues, RO GET /api/v1/resources/queues/:queue, RO GET /api/v1/resources/namespaces,
RO GET /api/v1/resources/tasks, RO GET /api/v1/messages, RO GET /api/v1/messages/:partitionId/:transactionId,
RW DELETE /api/v1/messages/:partitionId/:transactionId, RO GET /api/v1/dlq, RW POST /api/v1/traces,
RO GET /api/v1/traces/:partitionId/:transactionId, RO GET /api/v1/traces/by-name/:traceName, RO GET /api/v1/traces/names,
RO GET /api/v1/analytics/system-metrics, RO GET /api/v1/analytics/worker-metrics, RO GET /api/v1/analytics/queue-lag,
RO GET /api/v1/analytics/queue-ops, RO GET /api/v1/analytics/queue-parked-replicas, RO GET /api/v1/analytics/retention,
RO GET /api/v1/analytics/postgres-stats, P GET /metrics, P GET /metrics/prometheus, A GET /api/v1/system/shared-state,
A POST /api/v1/stats/refresh, A POST /internal/api/notify, A GET /internal/api/shared-state/stats,
A GET /internal/api/inter-instance/stats, A POST /api/v1/migration/test-connection, A POST /api/v1/migration/start,
A GET /api/v1/migration/status, A POST /api/v1/migration/validate, A POST /api/v1/migration/reset
`.trim().split(/,\s+/).map(entry => [entry.slice(entry.indexOf(' ') + 1), entry.slice(0, entry.indexOf(' '))]))
const LEVELS: Record<string, string[]> = { P: ['public'], RO: ['read'], RW: ['produce', 'consume', 'transact', 'write'], A: ['admin'] }

interface Entry { method: string, path: string, access: string, isHidden: boolean }

/** The service as it is started, with every route that is registered in it: also those that come to be after this test. */
async function startAll (t: Test): Promise<{ url: string, routes: Entry[] }> {
  const app = Fastify({ routerOptions: { maxParamLength: 4096 }, forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  const registered: { method: string, path: string, options: RouteOptions }[] = []
  app.addHook('onRoute', options => {
    for (const method of [options.method].flat()) registered.push({ method, path: options.path, options })
  })
  await app.register(regent, { databaseUrl: await createDatabase(t), jwtEnabled: true, jwtSecret: SECRET, jwtAudience: 'regent', maxEventLoopDelayMs: 0 })
  // Some are told later which access they need.
  const routes = registered.map(({ method, path, options: { config, schema } }) => ({ method, path, access: config?.access ?? 'nothing', isHidden: schema?.hide === true }))
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), routes }
}

/** A path with something in every place, and nothing there that is. */
function filledIn (path: string): string {
  return path.replace(/:(partitionId|leaseId)/g, '00000000-0001-8000-8000-000000000000').replace(/:\w+/g, 'x').replace('*', 'x')
}

t.test('every route lets in whom the contract says, and nobody else', async t => {
  const { url, routes } = await startAll(t)
  t.ok(routes.length > 60)
  const roles: Record<string, string | string[]> = { 'both halves': ['produce-only', 'consume-only'] }
  const tokens = Object.fromEntries(await Promise.all(['read-only', 'produce-only', 'consume-only', 'both halves', 'read-write', 'admin'].map(async name =>
    [name, await sign({ sub: name, aud: 'regent', roles: roles[name] ?? [name] })])))
  const bad: Record<string, string> = {
    'no token': '',
    'a token that is none': 'Bearer admin',
    'a token with a wrong signature': `Bearer ${await sign({ aud: 'regent', role: 'admin' }, { key: SECRET.toUpperCase() })}`,
    'an expired token': `Bearer ${await sign({ aud: 'regent', role: 'admin', exp: seconds() - 31 })}`,
    'a token for somebody else': `Bearer ${await sign({ aud: 'others', role: 'admin' })}`,
    'a password': 'Basic YWRtaW46YWRtaW4='
  }
  const call = async ({ method, path }: Entry, authorization: string): Promise<Answer> =>
    await request(url + filledIn(path), { method, ...(authorization === '' ? {} : { headers: { authorization } }) })

  // One assertion for each of the thousand answers would take longer than the answers.
  const wrong: string[] = []
  for (const route of routes) {
    const label = `${route.method} ${route.path}`
    const isPublic = route.access === 'public'
    await Promise.all(Object.entries(bad).map(async ([what, authorization]) => {
      const { status, headers, json } = await call(route, authorization)
      const isRefused = status === 401 && /^Bearer( error="invalid_token")?$/.test(headers.get('www-authenticate') ?? '') &&
        headers.get('access-control-allow-origin') === '*' &&
        (route.method === 'HEAD' || (json.success === false && /^RGT_(AUTH_REQUIRED|TOKEN_INVALID|TOKEN_EXPIRED)$/.test(json.code) && json.retryable === false))
      if (isPublic ? status === 401 || status === 403 : !isRefused) wrong.push(`${label}: ${status} with ${what}`)
    }))
    await Promise.all(Object.entries(tokens).map(async ([name, token]) => {
      const { status, json } = await call(route, `Bearer ${token}`)
      const isRefused = status === 403 && (route.method === 'HEAD' || (json.code === 'RGT_FORBIDDEN' && /^Insufficient permissions: .*\badmin$/.test(json.error)))
      const isLetIn = status !== 401 && status !== 403
      if (!(ALLOWED[route.access]?.includes(name) === true ? isLetIn : isRefused)) wrong.push(`${label}: ${status} for ${name}`)
    }))
  }
  t.same(wrong, [])
})

t.test('what routes need is what the compatible server needs, and is written down', async t => {
  const { routes } = await startAll(t)
  const documented = new Map<string, string>()
  const text = readFileSync(new URL('docs/authentication.md', packageRoot()), 'utf8')
  for (const [, access = '', paths = ''] of text.matchAll(/^\| `([a-z]+)` \| [^|]+ \| ([^|]+) \|$/gm)) {
    for (const [, verbs = '', path = ''] of paths.matchAll(/([A-Z]+(?:, [A-Z]+)*) `([^`]+)`/g)) {
      for (const verb of verbs.split(', ')) documented.set(`${verb} ${path}`, access)
    }
  }
  const own = routes.filter(({ method, isHidden }) => method !== 'HEAD' && !isHidden)
  // What belongs to the page of the API's description is written down as a whole; and OPTIONS.
  t.same(routes.filter(({ access, isHidden }) => isHidden && access !== 'public'), [])
  t.same(Object.fromEntries(documented), Object.fromEntries(own.map(({ method, path, access }) => [`${method} ${path}`, access])))
  for (const { method, path, access } of own) {
    const level = CONTRACT[`${method} ${path}`]
    if (level !== undefined) t.ok(LEVELS[level]?.includes(access), `${method} ${path} needs ${access}, in the contract ${level}`)
  }
  const names = new Set(own.map(({ method, path }) => `${method} ${path}`))
  t.same(Object.keys(CONTRACT).filter(name => !names.has(name)), [], 'none of its routes is missing')
})

t.test('routes and methods that are not there, and the questions of browsers, need no token', async t => {
  const { url } = await startAll(t)
  for (const [method, path] of [['GET', '/api/v1/nothing'], ['PUT', '/api/v1/push'], ['HEAD', '/api/v1/pop/queue/q'], ['GET', '/'], ['GET', '/api/me']]) {
    for (const init of [{}, bearer('x')]) t.equal((await request(url + path, { method: method ?? '', ...init })).status, 404, `${method} ${path}`)
  }
  const preflight = await request(`${url}/api/v1/push`, { method: 'OPTIONS', headers: { origin: 'https://x', 'access-control-request-headers': 'authorization' } })
  t.equal(preflight.status, 204)
  t.match(preflight.headers.get('access-control-allow-headers'), /Authorization/)
})

t.test('who has no role is told which one is needed, by its name in tokens', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(regent, {
    databaseUrl: await createDatabase(t),
    jwtEnabled: true,
    jwtSecret: SECRET,
    jwtRoleClaim: 'https://example.com/role',
    jwtRolesClaim: 'groups',
    jwtRoleAdmin: 'boss',
    jwtRoleReadWrite: 'rw',
    jwtRoleProduceOnly: 'in',
    jwtRoleConsumeOnly: 'out'
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const as = async (claims: object, path: string, method = 'POST'): Promise<Answer> => await request(url + path, { method, ...bearer(await sign({ ...claims })) })
  const none = await as({ role: 'admin', roles: ['admin', 'rw'] }, '/api/v1/transaction')
  t.match(none, { status: 403, json: { error: 'Insufficient permissions: one of these roles is needed: in with out, rw, boss' } })
  t.equal((await as({ 'https://example.com/role': 'rw' }, '/api/v1/transaction')).status, 400)
  t.equal((await as({ groups: ['x', 'out', 'in'] }, '/api/v1/transaction')).status, 400)
  t.equal((await as({ 'https://example.com/role': 'out', groups: ['in'] }, '/api/v1/transaction')).status, 400, 'both claims count')
  for (const odd of [{ groups: 'boss' }, { groups: { boss: true } }, { groups: [['boss']] }, { 'https://example.com/role': ['boss'] }, { 'https://example.com/role': true }]) {
    t.equal((await as(odd, '/api/v1/stats/refresh')).status, 403, `${JSON.stringify(odd)} is no role`)
  }
})

t.test('a route that says no access keeps the service from starting', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  // What a new route of the service looks like to the check: registered within its scope.
  app.addHook('onRoute', route => { if (route.path === '/api/v1/push') delete route.config })
  await t.rejects(async () => { await app.register(regent, { databaseUrl: await createDatabase(t) }) }, { message: 'POST /api/v1/push: its config does not say which access it needs' })
})
