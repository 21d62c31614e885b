import t from 'tap'
import { SECRET } from '../auth/support.ts'
import { pathOf, prototypes, startHostile } from './hostile-service.ts'
import type { Attack, HostileService } from './hostile-service.ts'
import { rawBytes } from './raw-http.ts'

const JUNK = ["'; drop schema regent cascade; --", '"', '\\', '{}', 'null', '%00%0d%0a', '\xff\xfe', ',', ';;;', 'x'.repeat(4000), '__proto__', '-1', '99999999999999999999']
/** Headers that something on the way of a request reads; the last ones nothing should. */
const NAMES = [
  'authorization', 'content-type', 'accept', 'accept-encoding', 'accept-version', 'origin', 'host', 'x-request-id', 'cookie', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto',
  'sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol', 'if-none-match', 'range', 'user-agent', '__proto__', 'constructor', 'x-http-method-override'
]

/** Every header with everything on one route of each kind, and every route with all headers at once. */
function * attacks ({ routes, message }: HostileService): Generator<Attack> {
  const body = (method: string): { body?: string } => /^P/.test(method) ? { body: '{}' } : {}
  const kinds = new Set(['/health', '/api/v1/push', '/api/v1/pop/queue/:queue', '/api/v1/channels', '/api/v1/channels/:channel/requests/next', '/api/v1/status', '/api/v1/system/maintenance'])
  for (const route of routes) {
    if (route.method === 'HEAD') continue
    const path = pathOf(route, message)
    for (const [i, value] of JUNK.entries()) {
      if (i % 3 === 0) yield { method: route.method, path, headers: Object.fromEntries(NAMES.map(name => [name, value.slice(0, 300)])), ...body(route.method) }
      if (kinds.has(route.path)) for (const name of NAMES) yield { method: route.method, path, headers: { [name]: value }, ...body(route.method) }
    }
  }
}

t.test('whatever stands in the headers', async t => {
  for (const [title, env] of [['of a server that is open to all', {}], ['of one that asks for tokens', { JWT_ENABLED: 'true', JWT_SECRET: SECRET }]] as [string, Record<string, string>][]) {
    await t.test(title, async t => {
      const service = await startHostile(t, env)
      const before = { untouched: await service.untouched(), prototypes: prototypes() }
      t.match(before.untouched, /given up/)
      t.same(await service.attack(attacks(service)), [])
      t.equal(prototypes(), before.prototypes)
      t.equal(await service.untouched(), before.untouched)
    })
  }
})

t.test('bytes that belong in no head end the connection with a reason, and nothing of them is believed', async t => {
  const service = await startHostile(t)
  const heads = [
    'GET /health HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n', 'GET /health HTTP/1.1\r\nhost: x\r\na\0b: c\r\n\r\n', 'GET /health HTTP/1.1\r\nhost: x\r\na b: c\r\n\r\n', 'GET /health HTTP/1.1\r\nhost: x\r\n: c\r\n\r\n',
    'GET /\0health HTTP/1.1\r\nhost: x\r\n\r\n', 'GET /health HTTP/9.9\r\nhost: x\r\n\r\n', 'GET\t/health HTTP/1.1\r\nhost: x\r\n\r\n', 'BREW /health HTTP/1.1\r\nhost: x\r\n\r\n',
    'POST /api/v1/push HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n', 'POST /api/v1/push HTTP/1.1\r\nhost: x\r\ncontent-length: 1e3\r\n\r\n', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`
  ]
  for (const head of heads) t.match(await rawBytes(service.url, head), /^HTTP\/1\.1 (400|431) [^]*"code":"RGT_REQUEST_INVALID"/, JSON.stringify(head.slice(0, 60)))
  t.match(await service.send('GET', '/health'), { status: 200 })
})
