// The server as it is started, in this process, and what it must never do whatever it is asked.
import { Agent, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { RouteOptions } from 'fastify'
import type postgres from 'postgres'
import type { Test } from 'tap'
import { addService, createHttpServer } from '../../http-server.ts'
import { readEnvironment } from '../../services/options.ts'
import { bearer, sign } from '../auth/support.ts'
import { connect, createDatabase, request as call } from '../support.ts'

export interface Route {
  method: string
  path: string
  /** Names of what is between slashes in its path. */
  params: string[]
}

export interface HostileAnswer {
  status: number
  headers: IncomingMessage['headers']
  text: string
  json: any
}

export interface Sent { headers?: Record<string, string>, body?: string }

export interface HostileService {
  url: string
  sql: postgres.Sql
  /** Every route that is registered, but for OPTIONS. */
  routes: Route[]
  /** The parameters of its query that a route has asked for so far. */
  queryNames: (route: Route) => string[]
  /** One real request, its path as it is. */
  send: (method: string, path: string, sent?: Sent) => Promise<HostileAnswer>
  /** Sends all requests, a few at once; returns what is wrong with answers, each with what was asked. */
  attack: (requests: Iterable<Attack>) => Promise<string[]>
  /** Ids of a message that is there, and of the partition it is in. */
  message: { partitionId: string, transactionId: string }
  /** All that there is of the queues that nobody has named. */
  untouched: () => Promise<string>
}

export interface Attack extends Sent { method: string, path: string }

const AT_ONCE = 6
const LONGEST_MS = 60_000
const CONSUMER = 'bystander'
/** Also by their names what patterns and paths could mean. */
const BYSTANDERS = ['bystander', 'by_stander', '100%', 'c/d']
/** Errors beyond 499 that say nothing against the server: nobody receives on a channel; what there is not. */
const EXPECTED = new Set(['RGT_CHANNEL_TIMEOUT', 'RGT_NOT_AVAILABLE'])
/** What is wrong with these is not in one field. */
const OF_BODIES = new Set(['RGT_BODY_EMPTY', 'RGT_BODY_NOT_JSON', 'RGT_BODY_NOT_UTF8', 'RGT_BODY_TOO_DEEP'])
/** Statements, texts of the database and of the runtime, places in code. */
const INSIDES = /PostgresError|SQLSTATE|syntax error at|invalid input syntax|out of range for|relation "|column "|operator does not|_v\d+\(|pg_catalog|pg_toast|TypeError|RangeError|undefined is not|Cannot read|\.[jt]s:\d|\n\s+at |node_modules/

/** Starts it with a message on each of several queues that are not to be touched, and one on the queue `q`. */
export async function startHostile (t: Test, env: Record<string, string> = {}): Promise<HostileService> {
  const databaseUrl = await createDatabase(t)
  const { server, regent } = readEnvironment({
    DATABASE_URL: databaseUrl, FILE_BUFFER_DIR: 'off', MAX_EVENT_LOOP_DELAY: '0', CHANNELS_DEFAULT_TIMEOUT: '50', DB_POOL_SIZE: '8', ...env
  })
  const app = createHttpServer({ ...server, port: 0, host: '127.0.0.1', logLevel: 'silent' })
  const agent = new Agent({ keepAlive: true, maxSockets: 2 * AT_ONCE })
  t.teardown(async () => {
    agent.destroy()
    await app.close()
  })
  const routes: Route[] = []
  const asked = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ method, path }: RouteOptions & { path: string }) => {
    for (const verb of [method].flat()) {
      if (verb !== 'OPTIONS') routes.push({ method: verb, path, params: [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => name) })
    }
  })
  app.addHook('preHandler', (incoming, _reply, done) => {
    const names = asked.get(incoming.routeOptions.url ?? '') ?? new Set<string>()
    asked.set(incoming.routeOptions.url ?? '', names)
    incoming.query = new Proxy(incoming.query as object, {
      get: (query, name) => {
        if (typeof name === 'string') names.add(name)
        return Reflect.get(query, name) as unknown
      }
    })
    done()
  })
  await addService(app, regent, { isEmbedded: false, role: undefined })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const sql = connect(t, databaseUrl)
  const { hostname, port } = new URL(url)

  const send = async (method: string, path: string, { headers = {}, body }: Sent = {}): Promise<HostileAnswer> => await new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const failed = (error: Error): void => { reject(new Error(`${method} ${path.slice(0, 200)}: ${error.message}`)) }
    const outgoing = request({ hostname, port, agent, method, path, headers: { ...length, ...headers } }, response => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => { pieces.push(piece) })
      response.on('error', failed)
      response.on('end', () => {
        const text = Buffer.concat(pieces).toString()
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: text !== '' && isJson(response) ? JSON.parse(text) : undefined })
      })
    })
    outgoing.on('error', failed)
    outgoing.setTimeout(LONGEST_MS, () => { outgoing.destroy(new Error('there is no answer')) })
    outgoing.end(body)
  })

  const attack = async (requests: Iterable<Attack>): Promise<string[]> => {
    const wrong: string[] = []
    const iterator = requests[Symbol.iterator]()
    const one = async (): Promise<void> => {
      for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
        const { method, path, ...sent } = next.value
        const answer = await send(method, path, sent)
        const fault = faultOf(method, answer)
        if (fault !== null) wrong.push(`${fault}: ${method} ${path.slice(0, 200)} ${JSON.stringify(sent).slice(0, 300)} -> ${answer.status} ${answer.text.slice(0, 300)}`)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, one))
    return wrong
  }

  const token = env.JWT_SECRET === undefined ? null : await sign({ sub: 'fills', role: 'admin' }, { key: env.JWT_SECRET })
  const { partitionId } = await fill(url, token === null ? {} : bearer(token))
  return {
    url,
    sql,
    routes,
    queryNames: ({ path }) => [...asked.get(path) ?? []],
    send,
    attack,
    message: { partitionId, transactionId: 'there' },
    untouched: async () => await contents(sql)
  }
}

function isJson ({ headers }: IncomingMessage): boolean {
  return headers['content-type']?.startsWith('application/json') === true
}

/** What an answer to hostile input must not be; null: nothing is wrong with it. */
function faultOf (method: string, { status, headers, text, json }: HostileAnswer): string | null {
  if (status >= 500 && !EXPECTED.has(json?.code)) return 'a fault of the server'
  if (headers['set-cookie'] !== undefined) return 'a header of the client\'s'
  if (!/^[\w.:/+=@-]{1,128}$/.test(String(headers['x-request-id']))) return 'no proper id of the request'
  if (status < 400 || method === 'HEAD') return null
  if (INSIDES.test(text)) return 'shows its insides'
  if (json?.success !== false || typeof json.error !== 'string' || !/^RGT_[A-Z_]+$/.test(json.code) || typeof json.retryable !== 'boolean') return 'not the shape of an error'
  return status === 400 && typeof json.field !== 'string' && !OF_BODIES.has(json.code) ? 'names no field' : null
}

/** A message, a trace and a dead letter on each of the bystanders' queues; and one message to work on. */
async function fill (url: string, init: RequestInit): Promise<{ partitionId: string }> {
  const post = async (path: string, body: object): Promise<any> => (await call(`${url}${path}`, { ...init, method: 'POST', body: JSON.stringify(body) })).json
  for (const queue of BYSTANDERS) {
    await post('/api/v1/push', { items: ['kept', 'given up'].map(transactionId => ({ queue, partition: queue, transactionId, payload: queue })) })
    const { json: { messages: [, last] } } = await call(`${url}/api/v1/pop/queue/${encodeURIComponent(queue)}?consumerGroup=${CONSUMER}&batch=2`, init)
    await post('/api/v1/traces', { ...last, data: queue, traceNames: [queue] })
    await post('/api/v1/ack', { ...last, consumerGroup: CONSUMER, status: 'dlq' })
  }
  const [pushed] = await post('/api/v1/push', { items: [{ queue: 'q', partition: 'p', transactionId: 'there', payload: 1 }] })
  return { partitionId: pushed.partition_id }
}

/** Every row of the bystanders' queues, but for what the service itself writes about time. */
async function contents (sql: postgres.Sql): Promise<string> {
  const rows = await sql<{ row: string }[]>`
    with q as (select id from regent.queues where name = any(${BYSTANDERS})), p as (select id from regent.partitions where queue_id in (select id from q))
    select to_jsonb(t)::text as row from regent.queues t where id in (select id from q)
      union all select to_jsonb(t)::text from regent.partitions t where id in (select id from p)
      union all select to_jsonb(t)::text from regent.segments t where partition_id in (select id from p)
      union all select to_jsonb(t)::text from regent.groups t where queue_id in (select id from q) and name = ${CONSUMER}
      union all select to_jsonb(t)::text from regent.cursors t where partition_id in (select id from p)
        and group_id in (select id from regent.groups where name = ${CONSUMER})
      union all select to_jsonb(t)::text from regent.dead_letters t where queue_id in (select id from q)
      union all select to_jsonb(t)::text from regent.traces t where partition_id in (select id from p)
      order by 1`
  return rows.map(({ row }) => row).join('\n')
}

/** Everything that all objects have in common. */
export function prototypes (): string {
  return JSON.stringify([Object, Array, Function, String, Number, Map, Promise, Error].map(({ prototype }) => Reflect.ownKeys(prototype).map(String)))
}

/** A path with something in every place; `values` puts something else in some. */
export function pathOf ({ method, path }: Route, { partitionId, transactionId }: HostileService['message'], values: Record<string, string> = {}): string {
  const good: Record<string, string> = {
    queue: 'q',
    partition: 'p',
    group: 'g',
    traceName: 'n',
    deadLetterId: '999999',
    // Who sends and who receives do not meet: an answer is cut off when what it hands on is given up.
    channel: method === 'GET' ? '11111111-2222-4333-8444-555555555555' : '22222222-2222-4333-8444-555555555555',
    id: '11111111-2222-4333-8444-555555555555',
    leaseId: '00000000-0001-4000-8000-000000000000',
    partitionId,
    transactionId,
    ...values
  }
  return path.replace(/:(\w+)/g, (_whole, name: string) => {
    const value = good[name]
    if (value === undefined) throw new Error(`${path}: what stands for ${name}?`)
    return value
  })
}

const LONG = 255

/** What somebody may send who looks for a way in, as plain texts. */
export const TEXTS = [
  "'", '"', "'; drop schema regent cascade; --", "' or '1'='1", '$1', '$$', '\\', "\\'", '%', '_', '%%', '*', 'b_stander', 'b%', '../..', '..', '.', 'a/b',
  '__proto__', 'constructor', 'prototype', 'toString', '{}', '[]', 'null', 'true', '-1', '0', '1e309', 'NaN', '-Infinity', '2147483648', '-2147483649',
  '99999999999999999999', '9223372036854775808', '0x10', '1;2', '1 union select', ' ', '\t', '\r\nset-cookie: x=1', '\0', 'a\0b', '\u001b[31m', '\u202e', '\u2028', '\ufeff',
  'x'.repeat(LONG), 'x'.repeat(LONG + 1), '😀'.repeat(LONG), '2026-02-30', '0000-01-01', '294277-01-01T00:00:00Z', '2026-01-01T00:00:00+99:99', 'infinity', 'now', '{1,2}', '(1,2)'
] as const

/** Percent-encoded forms of what is no text, or not at once. */
export const ENCODED = ['%', '%zz', '%ff', '%c0%af', '%ed%a0%80', '%f0%28%8c%28', '%2e%2e%2f', '%252e%252e', '%u0041', '%00', '%0d%0aset-cookie:x=1', '%25', 'x'.repeat(4090), 'x'.repeat(5000)] as const
