import Fastify from 'fastify'
import t from 'tap'
import regent from '../../index.ts'
import { rawRequest } from '../routes/raw-http.ts'
import { createDatabase, request } from '../support.ts'
import { startHttpServer } from './http-server.ts'

const HEADERS = { 'x-content-type-options': 'nosniff', 'content-security-policy': "default-src 'none'; frame-ancestors 'none'", 'cache-control': 'no-store' }

t.test('every answer is data that is not kept, whatever its status', async t => {
  const url = await startHttpServer(t, { MAX_BODY_BYTES: '1024', UWS_HTTP_MAX_HEADERS_SIZE: '2048' })
  for (const [status, method, path, headers, body] of [
    [201, 'POST', '/api/v1/push', {}, '{"items":[{"queue":"q","payload":"<script>alert(1)</script>"}]}'],
    [200, 'GET', '/api/v1/pop/queue/q', {}, ''],
    [200, 'HEAD', '/health', {}, ''],
    [204, 'OPTIONS', '/api/v1/push', {}, ''],
    [204, 'GET', '/api/v1/channels/00000000-0001-8000-8000-000000000000/requests/next', {}, ''],
    [400, 'POST', '/api/v1/push', {}, '{'],
    [400, 'GET', '/api/v1/pop/queue/%zz', {}, ''],
    [404, 'GET', '/api/v1/nothing', {}, ''],
    [413, 'POST', '/api/v1/push', {}, ' '.repeat(2000)],
    [426, 'GET', '/api/v1/channels', {}, ''],
    [431, 'GET', '/health', { filler: 'x'.repeat(3000) }, '']
  ] as const) {
    const answer = await rawRequest(url, method, path, headers, body === '' ? [] : [body])
    t.match(answer, { status, headers: HEADERS }, `${status} ${method} ${path}`)
  }
  t.match(await rawRequest(url, 'GET', '/metrics/prometheus', {}), { headers: { ...HEADERS, 'cache-control': 'no-cache' } }, 'a route may say how long its answer holds')
})

t.test('an application keeps its own headers, and has none of ours on its own routes', async t => {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers['x-own'] !== undefined) reply.headers({ 'content-security-policy': 'sandbox', 'cache-control': 'private' })
  })
  await app.register(regent, { databaseUrl: await createDatabase(t), prefix: '/mq' })
  app.get('/own', async () => ({}))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const read = async (path: string, headers = {}): Promise<(string | null)[]> => {
    const answer = await request(url + path, { headers })
    return Object.keys(HEADERS).map(name => answer.headers.get(name))
  }
  t.same(await read('/own'), [null, null, null])
  t.same(await read('/nothing'), [null, null, null])
  t.same(await read('/mq/health'), Object.values(HEADERS))
  t.same(await read('/mq/nothing'), Object.values(HEADERS))
  t.same(await read('/mq/health', { 'x-own': '1' }), ['nosniff', 'sandbox', 'private'])
})
