import { PassThrough } from 'node:stream'
import Fastify from 'fastify'
import t from 'tap'
import regent from '../../index.ts'
import { LOG_LEVELS } from '../../services/logging/levels.ts'
import { SERVER_OPTIONS } from '../../services/options.ts'
import { RawClient } from '../fault/raw-client.ts'
import { startServer } from '../fault/server-under-test.ts'
import { createDatabase, request, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { connectEach, pidOf } from '../workers/connections.ts'
import { linesSaying } from './log-lines.ts'

const LONGEST_MS = 60_000
const PATH = '/api/v1/system/log-level'

async function setLevel (url: string, level: unknown): Promise<Answer> {
  return await request(url + PATH, { method: 'PUT', body: JSON.stringify({ level }) })
}

async function levelOf (url: string): Promise<string> {
  return (await request(url + PATH)).json.level
}

t.test('the levels that can be set are those a server can be started with', async t => {
  t.same(LOG_LEVELS, 'oneOf' in SERVER_OPTIONS.logLevel ? SERVER_OPTIONS.logLevel.oneOf : [])
})

t.test('a running server logs from the level on that it is told', async t => {
  const { server, url } = await startServer(t, { env: { LOG_LEVEL: 'warn' } })
  const refused = async (): Promise<number> => {
    await request(`${url}/api/v1/push`, { method: 'POST', body: '{}' })
    return linesSaying(server, 'request refused').length
  }
  t.equal(await levelOf(url), 'warn')
  t.equal(await refused(), 0)
  t.match(await setLevel(url, 'debug'), { status: 200, json: { level: 'debug' } })
  t.equal(await levelOf(url), 'debug')
  await refused()
  await until(() => linesSaying(server, 'request refused').length === 1, LONGEST_MS)
  t.match(linesSaying(server, 'the log level was changed'), [{ level: 30, logLevel: 'debug', before: 'warn' }])
  for (const level of LOG_LEVELS) t.match(await setLevel(url, level), { status: 200, json: { level } })
  t.equal(await levelOf(url), 'silent')
  for (const bad of [undefined, null, '', 'loud', 'DEBUG', 30, ['info'], { level: 'info' }, '__proto__']) {
    t.match(await setLevel(url, bad), { status: 400, json: { code: 'RGT_FIELD_INVALID', field: 'level' } }, JSON.stringify(bad))
  }
  t.match(await request(url + PATH, { method: 'PUT' }), { status: 400, json: { code: 'RGT_BODY_EMPTY' } })
  t.equal(await levelOf(url), 'silent', 'what was refused has changed nothing')
})

t.test('of several processes all log from that level on, also those that start later', async t => {
  const { server, url } = await startServer(t, { env: { WORKERS: '2', LOG_LEVEL: 'info' } })
  const client = new RawClient(t, url)
  const refusedBy = (worker: number, pid: number): boolean => linesSaying(server, 'request refused').some(line => line.worker === worker && line.pid === pid)
  t.match(await setLevel(url, 'debug'), { status: 200 })
  t.equal(await levelOf(url), 'debug')
  const first = pidOf(server.output(), 1)
  await until(async () => {
    for (const connection of await connectEach(client, 2)) await connection.call('POST', '/api/v1/push', {})
    return refusedBy(1, first) && refusedBy(2, pidOf(server.output(), 2))
  }, LONGEST_MS)
  process.kill(first, 'SIGKILL')
  await until(() => pidOf(server.output(), 1) !== first, LONGEST_MS)
  await until(async () => {
    for (const connection of await connectEach(client, 2)) await connection.call('POST', '/api/v1/push', {})
    return refusedBy(1, pidOf(server.output(), 1))
  }, LONGEST_MS)
  const asked = await request(`${url}/api/v1/channels/none/requests/next`, { headers: { 'x-request-id': 'through-the-main-process' } })
  t.match([asked.status, asked.headers.get('x-request-id')], [400, 'through-the-main-process'])
  await until(() => linesSaying(server, 'request refused').some(({ reqId, worker }) => reqId === 'through-the-main-process' && worker === undefined), LONGEST_MS)
})

t.test('embedded, it is the level of what the service logs, not of the application', async t => {
  const output = new PassThrough()
  let text = ''
  output.on('data', (chunk: Buffer) => { text += chunk.toString() })
  const app = Fastify({ logger: { level: 'info', stream: output } })
  t.teardown(async () => { await app.close() })
  await app.register(regent, { prefix: '/mq', databaseUrl: await createDatabase(t), maxEventLoopDelayMs: 0 })
  app.get('/own', async incoming => {
    incoming.log.debug('the application')
    return {}
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  t.equal(await levelOf(`${url}/mq`), 'info')
  await setLevel(`${url}/mq`, 'debug')
  t.equal(app.log.level, 'info')
  await request(`${url}/own`)
  await request(`${url}/mq/api/v1/push`, { method: 'POST', body: '{}' })
  t.match(text, /"msg":"request refused"/)
  t.notMatch(text, /"msg":"the application"/)
  await setLevel(`${url}/mq`, 'silent')
  app.log.info('still here')
  t.match(text, /"msg":"still here"/)
})

t.test('an application without a logger has no level to change', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(regent, { databaseUrl: await createDatabase(t), maxEventLoopDelayMs: 0 })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  t.match(await request(url + PATH), { status: 501, json: { code: 'RGT_NOT_AVAILABLE' } })
  t.match(await setLevel(url, 'debug'), { status: 501, json: { code: 'RGT_NOT_AVAILABLE' } })
})
