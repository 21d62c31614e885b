// Embedded in an application that has set up OpenTelemetry.
import { FastifyOtelInstrumentation } from '@fastify/otel'
import type { FastifyOtelInstrumentationOpts } from '@fastify/otel'
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, propagation, trace } from '@opentelemetry/api'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import regent from '../../index.ts'
import { connect, createDatabase, request, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { PARENT, TRACE_ID, traceparent } from './contexts.ts'
import { headerOf, setUpSdk } from './sdk.ts'

const sdk = setUpSdk()
const databaseUrl = await createDatabase(t)
const { app, url } = await startHost({ instrumentHooks: false, instrumentHandler: false })
const tracer = trace.getTracer('test')

/** An application with spans of its requests, and Regent under a prefix. */
async function startHost (options: FastifyOtelInstrumentationOpts): Promise<{ app: FastifyInstance, url: string }> {
  const app = Fastify({ forceCloseConnections: true })
  await app.register(new FastifyOtelInstrumentation(options).plugin())
  await app.register(regent, { prefix: '/mq', databaseUrl, maxEventLoopDelayMs: 0, safetyNetMs: 0 })
  t.teardown(async () => { await app.close() })
  return { app, url: `${await app.listen({ port: 0, host: '127.0.0.1' })}/mq` }
}

async function call (method: string, path: string, body?: unknown, headers: Record<string, string> = {}, to = url): Promise<Answer> {
  return await request(to + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
}

/** What the requests of `act` have left of spans, once those of the requests themselves have ended. */
async function spansOf (act: () => Promise<unknown>, requests = 1): Promise<{ server: ReadableSpan[], database: ReadableSpan[], all: ReadableSpan[] }> {
  sdk.taken()
  await act()
  const all: ReadableSpan[] = []
  const ofKind = (kind: SpanKind): ReadableSpan[] => all.filter(span => span.kind === kind)
  await until(() => {
    all.push(...sdk.taken())
    return ofKind(SpanKind.SERVER).length >= requests
  })
  return { server: ofKind(SpanKind.SERVER), database: ofKind(SpanKind.CLIENT), all }
}

/** The only one. */
function one<T> (of: T[]): T {
  const [first] = of
  if (first === undefined || of.length > 1) throw new Error(`${of.length} instead of one`)
  return first
}

async function contextsIn (queue: string): Promise<unknown[]> {
  return (await call('GET', `/api/v1/pop/queue/${queue}?batch=100&autoAck=true`)).json.messages.map((message: { traceparent?: string }) => message.traceparent)
}

t.test('a push is a span of its route that says what was sent, and its messages carry it on', async t => {
  const { server, database } = await spansOf(async () => await call('POST', '/api/v1/push', { items: [{ queue: 'q', payload: 1 }, { queue: 'q', payload: 2, traceparent: traceparent(2) }] }))
  const span = one(server)
  t.equal(span.name, 'POST /mq/api/v1/push')
  t.match(span.attributes, {
    'messaging.system': 'regent',
    'messaging.operation.type': 'send',
    'messaging.operation.name': 'push',
    'messaging.destination.name': 'q',
    'messaging.batch.message_count': 2,
    'http.response.status_code': 201
  })
  t.equal(span.parentSpanContext, undefined)
  const names = database.map(({ name }) => name)
  t.ok(names.includes('push_v2'), names.join())
  for (const { parentSpanContext, attributes } of database) {
    t.equal(parentSpanContext?.spanId, span.spanContext().spanId)
    t.equal(attributes['db.system.name'], 'postgresql')
  }
  t.equal(database.find(({ name }) => name === 'push_v2')?.attributes['db.stored_procedure.name'], 'push_v2')
  t.strictSame(await contextsIn('q'), [headerOf(span), traceparent(2)])
})

t.test('under a traceparent the span is a child of it, and the messages are the span\'s', async t => {
  const items = [{ queue: 'a', payload: 1 }, { queue: 'b', payload: 2 }]
  const { server } = await spansOf(async () => await call('POST', '/api/v1/push', { items }, { traceparent: PARENT, tracestate: 'a=1' }))
  const span = one(server)
  t.equal(span.spanContext().traceId, TRACE_ID)
  t.equal(span.parentSpanContext?.spanId, PARENT.split('-')[2])
  t.notOk('messaging.destination.name' in span.attributes, 'they went to several queues')
  const [message] = (await call('GET', '/api/v1/pop/queue/a')).json.messages
  t.match(message, { traceparent: headerOf(span), tracestate: 'a=1' })
})

t.test('a pop is linked to the spans that its messages come from, each once and 128 at the most', async t => {
  const items = Array.from({ length: 200 }, (_, n) => ({ queue: 'linked', payload: n, traceparent: traceparent(1 + (n >> 1)) }))
  await call('POST', '/api/v1/push', { items: items.slice(0, 10) })
  const few = one((await spansOf(async () => await call('GET', '/api/v1/pop/queue/linked?batch=1000&autoAck=true&consumerGroup=g'))).server)
  t.equal(few.name, 'GET /mq/api/v1/pop/queue/:queue')
  t.match(few.attributes, {
    'messaging.system': 'regent',
    'messaging.operation.type': 'receive',
    'messaging.destination.name': 'linked',
    'messaging.consumer.group.name': 'g',
    'messaging.batch.message_count': 10
  })
  t.strictSame(few.links.map(({ context: { traceId, spanId } }) => `00-${traceId}-${spanId}-01`), [1, 2, 3, 4, 5].map(traceparent))
  await call('POST', '/api/v1/push', { items: Array.from({ length: 150 }, (_, n) => ({ queue: 'linked', payload: n, traceparent: traceparent(1000 + n) })) })
  t.equal(one((await spansOf(async () => await call('GET', '/api/v1/pop/queue/linked?batch=1000&autoAck=true&consumerGroup=g'))).server).links.length, 128)
  const empty = one((await spansOf(async () => await call('GET', '/api/v1/pop/queue/linked?consumerGroup=g'))).server)
  t.match([empty.attributes['messaging.batch.message_count'], empty.links.length], [0, 0])
})

t.test('what wakes a pop is not taken for its parent', async t => {
  const { server, database } = await spansOf(async () => {
    const waiting = call('GET', '/api/v1/pop/queue/woken?wait=true&timeout=30000&autoAck=true')
    await until(async () => (await request(`${url}/health`)).json.load.parkedPops === 1)
    await call('POST', '/api/v1/push', { items: [{ queue: 'woken', payload: 1 }] })
    t.equal((await waiting).json.messages.length, 1)
  }, 2)
  const [pop, push] = ['GET /mq/api/v1/pop/queue/:queue', 'POST /mq/api/v1/push'].map(name => one(server.filter(span => span.name === name)).spanContext().spanId)
  const parentsOf = (name: string): Set<unknown> => new Set(database.filter(span => span.name === name).map(span => span.parentSpanContext?.spanId))
  t.strictSame(parentsOf('pop_v2'), new Set([pop]))
  t.strictSame(parentsOf('push_v2'), new Set([push]))
})

t.test('a call for several requests is a child of one and linked to the others', async t => {
  await call('POST', '/api/v1/push', { items: [{ queue: 'together', payload: 0 }] })
  const { server, database } = await spansOf(async () => {
    await Promise.all(Array.from({ length: 40 }, async (_, n) => await call('POST', '/api/v1/push', { items: [{ queue: 'together', payload: n }] })))
  }, 40)
  const writes = database.filter(({ name }) => name === 'push_v2')
  const served = writes.flatMap(({ parentSpanContext, links }) => [parentSpanContext?.spanId, ...links.map(({ context }) => context.spanId)])
  t.strictSame(served.sort(), server.map(span => span.spanContext().spanId).sort(), 'each request is named once')
})

t.test('a call that fails says with which code, and nothing of what was sent', async t => {
  const sql = connect(t, databaseUrl, 1)
  await call('POST', '/api/v1/push', { items: [{ queue: 'broken', payload: 1 }] })
  await sql`alter table regent.queues rename to queues_away`
  const { server, database, all } = await spansOf(async () => await call('POST', '/api/v1/configure', { queue: 'nobody-is-to-read-this' }))
  await sql`alter table regent.queues_away rename to queues`
  t.match(one(server), { status: { code: SpanStatusCode.ERROR }, attributes: { 'http.response.status_code': 500 }, events: [] })
  t.match(one(database), { status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': '42704', 'db.response.status_code': '42704' }, events: [] })
  t.notMatch(JSON.stringify(all.map(({ name, attributes, events, status }) => [name, attributes, events, status])), 'nobody-is-to-read-this')
})

t.test('an application may have spans of hooks and handlers too', async t => {
  const host = await startHost({})
  const { server } = await spansOf(async () => await call('POST', '/api/v1/push', { items: [{ queue: 'hooks', payload: 1 }] }, { traceparent: PARENT }, host.url))
  t.match([one(server).name, one(server).parentSpanContext?.spanId], ['POST /mq/api/v1/push', PARENT.split('-')[2]])
  t.strictSame(await contextsIn('hooks'), [headerOf(one(server))], 'the span of the request is what messages come from')
  for (const [path, status] of [['/api/v1/pop/queue/hooks', 200], ['/nowhere', 404], ['/api/v1/pop', 400]] as const) t.equal((await call('GET', path, undefined, {}, host.url)).status, status)
})

t.test('health checks and metrics make no spans', async t => {
  const { server, database } = await spansOf(async () => {
    for (const path of ['/health', '/metrics', '/metrics/prometheus']) t.equal((await call('GET', path)).status, 200)
    t.equal((await call('GET', '/nowhere')).status, 404)
  })
  t.strictSame([...server, ...database].map(({ attributes }) => attributes['url.path']), ['/mq/nowhere'])
})

t.test('embedding code pushes within its span, and a consumer goes on with the trace', async t => {
  const outer = tracer.startSpan('outer')
  await context.with(trace.setSpan(ROOT_CONTEXT, outer), async () => {
    await app.regent.push([{ queue: 'code', payload: 1 }, { queue: 'code', payload: 2, traceparent: traceparent(2) }])
    await app.regent.transaction({ push: [{ queue: 'code', payload: 3 }] })
  })
  outer.end()
  const messages = await app.regent.pop({ queue: 'code', batch: 10 })
  const own = `00-${outer.spanContext().traceId}-${outer.spanContext().spanId}-01`
  t.strictSame(messages.map(message => message.traceparent), [own, traceparent(2), own])
  const inner = tracer.startSpan('process code', { kind: SpanKind.CONSUMER }, propagation.extract(ROOT_CONTEXT, messages[0]))
  t.equal(inner.spanContext().traceId, outer.spanContext().traceId)
  t.equal((inner as unknown as ReadableSpan).parentSpanContext?.spanId, outer.spanContext().spanId)
  inner.end()
})

t.test('without a span around them pushes of embedding code have no context, and calls no spans', async t => {
  sdk.taken()
  await app.regent.push([{ queue: 'plain', payload: 1 }])
  t.strictSame((await app.regent.pop({ queue: 'plain' })).map(({ traceparent }) => traceparent), [undefined])
  t.same(sdk.taken(), [])
})
