import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import postgres from 'postgres'
import type { Test } from 'tap'
import regent from '../index.ts'
import type { RegentOptions } from '../index.ts'

/** The tests' PostgreSQL, started for the whole run by scripts/test.mjs; or one of its databases. */
export function databaseUrl (database = 'postgres'): string {
  const base = process.env.REGENT_TEST_DATABASE_URL
  if (base === undefined) throw new Error('REGENT_TEST_DATABASE_URL is not set: run tests with npm test or npm run test:unit')
  const url = new URL(base)
  url.pathname = `/${database}`
  return url.href
}

/** A driver for looking at a database from outside the service. Closed with the test. */
export function connect (t: Test, url: string, max = 2): postgres.Sql {
  const parts = new URL(url)
  const host = parts.searchParams.get('host') ?? parts.hostname
  const sql = postgres({
    host,
    port: Number(parts.searchParams.get('port') ?? (parts.port || 5432)),
    database: parts.pathname.slice(1),
    username: decodeURIComponent(parts.username) || 'postgres',
    password: decodeURIComponent(parts.password),
    max,
    onnotice: () => {},
    backoff: () => 0.2
  })
  t.teardown(async () => { await sql.end({ timeout: 1 }) })
  return sql
}

/** A database of its own for a test; dropped with it. */
export async function createDatabase (t: Test): Promise<string> {
  const name = `test_${randomBytes(6).toString('hex')}`
  const admin = connect(t, databaseUrl(), 1)
  await admin.unsafe(`create database ${name}`)
  t.teardown(async () => {
    const again = postgresAdmin()
    await again.unsafe(`drop database if exists ${name} with (force)`)
    await again.end({ timeout: 1 })
  })
  return databaseUrl(name)
}

function postgresAdmin (): postgres.Sql {
  const parts = new URL(databaseUrl())
  return postgres({
    host: parts.searchParams.get('host') ?? parts.hostname,
    port: Number(parts.searchParams.get('port') ?? (parts.port || 5432)),
    database: 'postgres',
    username: decodeURIComponent(parts.username) || 'postgres',
    password: decodeURIComponent(parts.password),
    max: 1,
    onnotice: () => {}
  })
}

export interface Answer {
  status: number
  headers: Headers
  text: string
  /** The body as JSON; undefined when it is empty. */
  json: any
}

export interface Service {
  app: FastifyInstance
  url: string
  databaseUrl: string
  /** One real HTTP request. A body that is not a text is sent as JSON. */
  call: (method: string, path: string, body?: unknown, init?: RequestInit) => Promise<Answer>
  /** Its request/reply channels, which the plugin hides from its host. */
  channels: () => FastifyInstance['channels']
  push: (items: object[]) => Promise<Answer>
  pop: (path: string, init?: RequestInit) => Promise<Answer>
  close: () => Promise<void>
}

/** A running service on a free port. `databaseUrl` in the options joins it to another one's database. */
export async function startService (t: Test, options: Partial<RegentOptions> = {}): Promise<Service> {
  const url = options.databaseUrl ?? await createDatabase(t)
  const app = Fastify({ routerOptions: { maxParamLength: 4096 }, forceCloseConnections: true })
  const instances: FastifyInstance[] = []
  app.addHook('onRegister', instance => { instances.push(instance) })
  // The event loop is shared with the test, and with whatever else keeps this machine busy.
  await app.register(regent, { maxEventLoopDelayMs: 0, ...options, databaseUrl: url })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const close = async (): Promise<void> => { await app.close() }
  t.teardown(close)
  const call = async (method: string, path: string, body?: unknown, init: RequestInit = {}): Promise<Answer> => await request(address + path, {
    method,
    ...(body === undefined ? {} : { body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    ...init
  })
  return {
    app,
    url: address,
    databaseUrl: url,
    call,
    channels: () => {
      const instance = instances.find(instance => instance.hasDecorator('channels'))
      if (instance === undefined) throw new Error('the service has no channels')
      return instance.channels
    },
    push: async items => await call('POST', '/api/v1/push', { items }),
    pop: async (path, init) => await call('GET', `/api/v1/pop/queue/${path}`, undefined, init),
    close
  }
}

/** One HTTP request, answered whole. */
export async function request (url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init)
  const text = await response.text()
  let json: unknown
  try {
    json = text === '' ? undefined : JSON.parse(text)
  } catch {
    json = undefined
  }
  return { status: response.status, headers: response.headers, text, json }
}

/** Wait until a condition holds; fails after `timeoutMs`. For states that announce themselves in no other way. */
export async function until (condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error('the awaited condition did not come')
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
