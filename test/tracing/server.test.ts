// Servers as `npm start` starts them, with an SDK that was set up before and without.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { connectEach } from '../workers/connections.ts'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { projectDir, readyUrl, spawnServer } from '../fixtures/server-process.ts'
import type { ServerProcess } from '../fixtures/server-process.ts'
import { RawClient } from '../fault/raw-client.ts'
import { linesSaying } from '../operations/log-lines.ts'
import { createDatabase, request, until } from '../support.ts'
import { PARENT, TRACE_ID } from './contexts.ts'

const EXAMPLE = pathToFileURL(join(projectDir, 'examples/tracing.mjs')).href
const LOADED = new URL('loaded-modules.mjs', import.meta.url).href

interface Span { name: string, kind: string, traceId: string, spanId: string, parentSpanId?: string, attributes: Record<string, unknown>, links: { traceId: string, spanId: string }[] }

interface Traced {
  server: ServerProcess
  url: string
  /** What it has written of spans. */
  spans: (name?: string) => Span[]
  /** Stops it; the packages that it had loaded. */
  loaded: () => Promise<string[]>
}

async function start (t: Test, imports: string[], env: Record<string, string> = {}): Promise<Traced> {
  const file = join(makeFolder(t), 'spans.jsonl')
  const server = spawnServer(t, {
    // Set by what starts the server, as its environment is without this one.
    command: ['/usr/bin/env', `NODE_OPTIONS=${imports.map(url => `--import ${url}`).join(' ')}`, process.execPath, join(projectDir, 'dist/server.js')],
    env: { DATABASE_URL: await createDatabase(t), FILE_BUFFER_DIR: makeFolder(t), HOST: '127.0.0.1', SPANS_FILE: file, ...env }
  })
  return {
    server,
    url: await readyUrl(server),
    spans: name => {
      const spans = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line) as Span) : []
      return name === undefined ? spans : spans.filter(span => span.name === name)
    },
    loaded: async () => {
      server.process.kill('SIGTERM')
      t.equal(await server.ended, 0, server.output())
      return /^loaded: (.*)$/m.exec(server.errors())?.[1]?.split(' ').filter(name => name !== '') ?? ['nothing was said']
    }
  }
}

function pushOf (queue: string): string {
  return JSON.stringify({ items: [{ queue, payload: 1 }] })
}

t.test('with the example\'s SDK a trace goes from a producer through the server to a consumer', async t => {
  const { server, url, spans, loaded } = await start(t, [EXAMPLE, LOADED], { LOG_LEVEL: 'debug' })
  const push = await request(`${url}/api/v1/push`, { method: 'POST', body: pushOf('q'), headers: { traceparent: PARENT, tracestate: 'a=1' } })
  t.equal(push.status, 201)
  const [message] = (await request(`${url}/api/v1/pop/queue/q?consumerGroup=g`)).json.messages
  await request(`${url}/health`)
  await request(`${url}/metrics/prometheus`)
  t.equal((await request(`${url}/api/v1/push`, { method: 'POST', body: '{}', headers: { traceparent: PARENT } })).status, 400)
  await until(() => spans('POST /api/v1/push').length === 2)

  const [sent] = spans('POST /api/v1/push')
  t.match(sent, { kind: 'SERVER', traceId: TRACE_ID, parentSpanId: PARENT.split('-')[2], attributes: { 'messaging.destination.name': 'q', 'messaging.batch.message_count': 1 } })
  t.match(message, { traceparent: `00-${TRACE_ID}-${sent?.spanId}-01`, tracestate: 'a=1' })
  const [received] = spans('GET /api/v1/pop/queue/:queue')
  t.match(received, { kind: 'SERVER', links: [{ traceId: TRACE_ID, spanId: sent?.spanId }], attributes: { 'messaging.consumer.group.name': 'g' } })
  t.not(received?.traceId, TRACE_ID, 'a pop is a trace of its own')
  const parentsOf = (name: string): string[] => [...new Set(spans(name).map(({ kind, parentSpanId }) => `${kind} of ${parentSpanId}`))]
  t.strictSame(parentsOf('push_v2'), [`CLIENT of ${sent?.spanId}`])
  t.strictSame(parentsOf('pop_v2'), [`CLIENT of ${received?.spanId}`])
  t.same(spans().filter(({ kind, parentSpanId }) => kind === 'CLIENT' && parentSpanId === undefined), [], 'what the server does by itself makes no traces')
  t.same(spans().filter(({ attributes }) => /health|metrics/.test(String(attributes['http.route']))), [])

  const maintain = async (enabled: boolean): Promise<unknown> => await request(`${url}/api/v1/system/maintenance`, { method: 'POST', body: JSON.stringify({ enabled }) })
  await maintain(true)
  t.match((await request(`${url}/api/v1/push`, { method: 'POST', body: pushOf('later') })).json, [{ status: 'buffered' }])
  await maintain(false)
  await until(async () => (await request(`${url}/health`)).json.pushes === 'direct')
  t.strictSame(parentsOf('push_v2'), [`CLIENT of ${sent?.spanId}`], 'what is drained later is nobody\'s')

  await until(() => linesSaying(server, 'request refused').length === 1)
  t.match(linesSaying(server, 'request refused'), [{ trace_id: TRACE_ID, span_id: spans('POST /api/v1/push')[1]?.spanId }])
  t.match(linesSaying(server, 'Regent is ready'), [{ trace_id: undefined }])
  t.match(await loaded(), ['@fastify/otel', '@opentelemetry/api'])
})

t.test('without one contexts are handed on as they came, and nothing for spans is loaded', async t => {
  const { server, url, loaded } = await start(t, [LOADED], { LOG_LEVEL: 'debug' })
  await request(`${url}/api/v1/push`, { method: 'POST', body: pushOf('q'), headers: { traceparent: PARENT, tracestate: 'a=1' } })
  t.match((await request(`${url}/api/v1/pop/queue/q`)).json.messages, [{ traceparent: PARENT, tracestate: 'a=1' }])
  await request(`${url}/api/v1/push`, { method: 'POST', body: '{}' })
  await until(() => linesSaying(server, 'request refused').length === 1)
  t.match(linesSaying(server, 'request refused'), [{ trace_id: undefined }])
  t.strictSame(await loaded(), ['@opentelemetry/api'])
})

t.test('workers make spans of what they serve, share a buffer that keeps contexts, and hand them on with requests of channels', async t => {
  const { url, spans } = await start(t, [EXAMPLE], { WORKERS: '2', LOG_LEVEL: 'info' })
  const [first, second] = await connectEach(new RawClient(t, url), 2)
  if (first === undefined || second === undefined) throw new Error('not enough connections')
  await first.call('POST', '/api/v1/system/maintenance', { enabled: true })
  const traced = async (path: string, body: string): Promise<any> => (await request(url + path, { method: 'POST', body, headers: { traceparent: PARENT } })).json
  let held = 0
  await until(async () => {
    held++
    return (await traced('/api/v1/push', pushOf('held')))[0].status === 'buffered'
  })
  await second.call('POST', '/api/v1/system/maintenance', { enabled: false })
  const contexts: string[] = []
  await until(async () => {
    const { messages } = (await request(`${url}/api/v1/pop/queue/held?batch=100&autoAck=true`)).json
    contexts.push(...messages.map(({ traceparent }: { traceparent: string }) => traceparent))
    return contexts.length === held
  }, 30_000)
  t.strictSame(contexts.map(context => context.split('-')[2]).sort(), spans('POST /api/v1/push').map(({ spanId }) => spanId).sort())

  const path = '/api/v1/channels/5f0c1d3a-2b4e-4c6d-8e7f-901a2b3c4d5e/requests'
  const answered = request(url + path, { method: 'POST', body: 'hello', headers: { traceparent: PARENT } })
  const taken = await request(`${url}${path}/next?wait=true&timeout=30000`)
  await request(url + (taken.headers.get('location') ?? ''), { method: 'POST', body: 'HELLO' })
  t.equal((await answered).text, 'HELLO')
  const [, traceId, spanId] = taken.headers.get('traceparent')?.split('-') ?? []
  const route = 'POST /api/v1/channels/:channel/requests'
  await until(() => spans(route).length === 2)
  t.equal(traceId, TRACE_ID)
  const own = spans(route).find(span => span.spanId === spanId)
  const worker = spans(route).find(span => span.spanId === own?.parentSpanId)
  t.equal(worker?.parentSpanId, PARENT.split('-')[2], 'the sender, its worker, the main process')
})
