import { Validator } from '@seriousme/openapi-schema-validator'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify from 'fastify'
import type { FastifyInstance, RouteOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent from '../../index.ts'
import type { RegentPluginOptions } from '../../index.ts'
import { SECRET } from '../auth/support.ts'
import { createDatabase } from '../support.ts'
import type { Answer } from '../support.ts'
import { Contract } from './contract.ts'

interface Registered { method: string, path: string, access: string }

/** An application that has registered Regent, with the routes it has told about. */
async function start (t: Test, options: RegentPluginOptions, prepare = async (_app: FastifyInstance): Promise<void> => {}): Promise<{ app: FastifyInstance, routes: Registered[] }> {
  const app = Fastify({ routerOptions: { maxParamLength: 4096 } })
  t.teardown(async () => { await app.close() })
  const routes: Registered[] = []
  app.addHook('onRoute', ({ method, path, schema, config }: RouteOptions & { path: string }) => {
    if (schema?.hide === true || method === 'HEAD') return
    routes.push({ method: String(method), path: path.replace(/:(\w+)/g, '{$1}'), access: config?.access ?? '' })
  })
  await prepare(app)
  await app.register(regent, options)
  await app.ready()
  return { app, routes }
}

async function documentOf (app: FastifyInstance, prefix = ''): Promise<any> {
  return (await app.inject(`${prefix}/openapi.json`)).json()
}

async function isValid (t: Test, document: any): Promise<void> {
  t.match(await new Validator().validate(structuredClone(document)), { valid: true })
}

function operationsOf (document: any): { method: string, path: string, operationId: string, access: string }[] {
  return new Contract(document).operations.map(({ method, path, operationId, 'x-regent-access': access }) => ({ method, path, operationId, access }))
}

t.test('every route is described, with the access it needs, and nothing else', async t => {
  const databaseUrl = await createDatabase(t)
  const { app, routes } = await start(t, { databaseUrl, jwtEnabled: true, jwtSecret: SECRET })
  const document = await documentOf(app)
  await isValid(t, document)
  t.equal(document.openapi, '3.1.0')
  const operations = operationsOf(document)
  const byRoute = (one: Registered, other: Registered): number => `${one.path} ${one.method}` < `${other.path} ${other.method}` ? -1 : 1
  t.same(operations.map(({ method, path, access }) => ({ method, path, access })).sort(byRoute), routes.sort(byRoute))
  t.ok(operations.length > 75)
  t.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length, 'ids are unique')
  const contract = new Contract(document)
  const tags = new Set(document.tags.map(({ name }: { name: string }) => name))
  for (const methods of Object.values<Record<string, any>>(document.paths)) {
    for (const operation of Object.values(methods)) {
      const { operationId, requestBody } = operation
      const { schema, example } = requestBody?.content['application/json'] ?? {}
      if (example !== undefined) t.ok(contract.accepts(schema, example), `${operationId}: an example of itself`)
      t.ok(operation.summary.length > 0 && operation.tags.every((tag: string) => tags.has(tag)), operationId)
      const isPublic = operation['x-regent-access'] === 'public'
      t.same(operation.security, isPublic ? undefined : [{ bearer: [] }], operationId)
      t.equal('401' in operation.responses && '403' in operation.responses, !isPublic, operationId)
    }
  }
  t.match(document.components.securitySchemes, { bearer: { type: 'http', scheme: 'bearer' } })
  t.same((await app.inject('/documentation/json')).json(), document, 'the page reads the same')

  t.test('also in a process that hands some of it on to another', async t => {
    const { app } = await start(t, { databaseUrl, jwtEnabled: true, jwtSecret: SECRET, role: { kind: 'worker', buffer: null, mainSocket: 'nowhere', onReport: () => {} } })
    t.same(operationsOf(await documentOf(app)).sort(byRoute), operations.sort(byRoute))
  })
})

t.test('embedded', async t => {
  const databaseUrl = await createDatabase(t)
  const { app } = await start(t, { databaseUrl, prefix: '/one' }, async app => {
    await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'the host\'s', version: '1' } } })
    await app.register(regent, { databaseUrl: await createDatabase(t), prefix: '/two', decorator: 'second', documentation: false })
    app.post('/own', { schema: { body: { type: 'object', required: ['a'] }, response: { 200: { type: 'object', properties: { a: { type: 'string' } } } } } }, async () => ({ a: 1, b: 2 }))
  })
  const own = await documentOf(app, '/one')
  const host = app.swagger()

  t.test('the document of its own is about itself alone, below its prefix', async t => {
    await isValid(t, own)
    t.same(own.servers, [{ url: '/one' }])
    t.ok(Object.hasOwn(own.paths, '/api/v1/push'))
    t.notOk(Object.hasOwn(own.paths, '/own'))
    t.equal(own.components?.securitySchemes, undefined, 'nobody asks for tokens')
    t.notOk(Object.hasOwn(own.paths['/api/v1/push'].post.responses, '401'))
    const page = await app.inject('/one/documentation')
    t.match(page.body, '/one/documentation/static/swagger-ui-bundle.js')
    t.match(page.headers['content-security-policy'], /^default-src 'none'; script-src 'self';/)
    t.equal((await app.inject('/one/openapi.json')).headers['content-security-policy'], "default-src 'none'; frame-ancestors 'none'", 'of nothing else')
    t.equal((await app.inject('/one/documentation/static/swagger-ui-bundle.js')).statusCode, 200)
  })

  t.test('a document of the host describes every one of several, next to its own routes', async t => {
    await isValid(t, host)
    t.ok(Object.hasOwn(host.paths ?? {}, '/own'))
    const ids = operationsOf(host).map(({ operationId }) => operationId).filter(id => id !== undefined)
    t.equal(new Set(ids).size, ids.length, 'ids are unique')
    for (const prefix of ['/one', '/two']) {
      t.same(Object.keys(host.paths ?? {}).filter(path => path.startsWith(`${prefix}/api`)).map(path => path.slice(prefix.length)), Object.keys(own.paths).filter(path => path.startsWith('/api')))
    }
  })

  t.test('it is not there where it is not wanted, nor for the host', async t => {
    for (const path of ['/two/openapi.json', '/two/documentation', '/two/documentation/json', '/openapi.json', '/documentation']) t.equal((await app.inject(path)).statusCode, 404, path)
  })

  t.test('the schemas of the host do what they did', async t => {
    t.equal((await app.inject({ method: 'POST', url: '/own', payload: {} })).statusCode, 400)
    t.equal((await app.inject({ method: 'POST', url: '/own', payload: { a: 1 } })).body, '{"a":"1"}')
  })
})

t.test('what an application has at the same paths stays', async t => {
  const { app } = await start(t, { databaseUrl: await createDatabase(t) }, async app => {
    await app.register(swagger)
    await app.register(swaggerUi, { theme: { title: 'the host' } })
    app.get('/openapi.json', async () => ({ of: 'the host' }))
  })
  t.same((await app.inject('/openapi.json')).json(), { of: 'the host' })
  t.match((await app.inject('/documentation')).body, '<title>the host</title>')
  t.ok(Object.hasOwn((await app.inject('/documentation/json')).json().paths, '/api/v1/push'))
})

t.test('an answer that is not described is noticed', async t => {
  const { app } = await start(t, { databaseUrl: await createDatabase(t) })
  const contract = new Contract(await documentOf(app))
  const send = contract.operationOf('POST', '/api/v1/push')
  const get = contract.operationOf('GET', '/api/v1/pop/queue/q/partition/p')
  t.match([send?.operationId, get?.operationId], ['push', 'popPartition'])
  if (send === undefined) return
  const answer = (status: number, json: unknown, headers: Record<string, string> = {}): Answer =>
    ({ status, json, text: JSON.stringify(json), headers: new Headers({ 'content-type': 'application/json', ...headers }) })
  const error = { success: false, error: 'x', code: 'RGT_QUEUE_FULL', retryable: true }
  const duplicate = { index: 0, status: 'duplicate', transaction_id: 'x', message_id: '00000000-0001-8000-8000-000000000001', queueName: 'q' }
  t.equal(contract.faultOf(send, answer(429, error, { 'retry-after': '1' })), null)
  t.equal(contract.faultOf(send, answer(201, [duplicate])), null)
  t.match(contract.faultOf(send, answer(429, error)), /no Retry-After/)
  t.match(contract.faultOf(send, answer(429, { ...error, more: 1 }, { 'retry-after': '1' })), /unevaluated properties/)
  t.match(contract.faultOf(send, answer(429, { ...error, code: 'RGT_FORBIDDEN' }, { 'retry-after': '1' })), /allowed values/)
  t.match(contract.faultOf(send, answer(201, [{ ...duplicate, trace_id: null }])), /oneOf/)
  t.match(contract.faultOf(send, answer(202, [])), /push answers 202/)
  t.match(contract.faultOf(send, answer(201, [], { 'content-type': 'text/html' })), /text\/html/)
})
