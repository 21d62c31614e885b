import t from 'tap'
import { ENCODED, TEXTS, pathOf, prototypes, startHostile } from './hostile-service.ts'
import type { Attack, HostileService } from './hostile-service.ts'

/** Every route, with everything in each of its places in turn. */
function * attacks ({ routes, message }: HostileService): Generator<Attack> {
  for (const route of routes) {
    if (route.method === 'HEAD') continue
    for (const name of route.params) {
      for (const value of [...TEXTS.map(encodeURIComponent), ...ENCODED]) {
        yield { method: route.method, path: pathOf(route, message, { [name]: value }), ...bodyFor(route.method) }
      }
    }
  }
}

function bodyFor (method: string): { body?: string } {
  return method === 'POST' || method === 'PUT' ? { body: '{}' } : {}
}

t.test('whatever stands in the path, it is refused with a reason or names something that is not there', async t => {
  const service = await startHostile(t)
  t.ok(service.routes.length > 100, `${service.routes.length} routes with HEAD`)
  const before = { untouched: await service.untouched(), prototypes: prototypes() }
  t.match(before.untouched, /given up/)
  t.same(await service.attack(attacks(service)), [])
  t.equal(prototypes(), before.prototypes)
  t.equal(await service.untouched(), before.untouched, 'queues that nobody has named are as they were')
  t.match(await service.send('GET', '/health'), { status: 200 })
})

t.test('methods and paths that are not there are answered in the same way', async t => {
  const service = await startHostile(t)
  const paths = ['/', '//', '/..', '/%2e%2e/health', '/api/v1/../../health', '/health/', '/HEALTH', '/health;a=b', '/health%00', '/api/v1/push/x', '/%', '/%ff', '/*', '/api/v1/pop/queue/', `/${'a/'.repeat(3000)}`, '/?__proto__[x]=1', '/api/v1/dlq/1/2/3', '/constructor', '/__proto__']
  t.same(await service.attack(paths.flatMap(path => ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'TRACE'].map(method => ({ method, path })))), [])
})
