import t from 'tap'
import { pathOf, prototypes, startHostile } from './hostile-service.ts'
import type { Attack, HostileService, Route } from './hostile-service.ts'

/** Of what paths are tried with: a query is another place for the same checks, but numbers, times and filters stand only here. */
const VALUES = [
  "';drop schema regent cascade;--", '%', '_', 'b_stander', '\\', '$1', '*', '__proto__', 'constructor', '-1', '1e309', '2147483648', '99999999999999999999', '0x10', ' ',
  '\0', '\r\nset-cookie: x=1', '\u2028', 'x'.repeat(256), '2026-02-30', '-294277-01-01T00:00:00Z', '2026-01-01T00:00:00+99:99', '2026-01-01', '-infinity', '{}', '[]'
].map(encodeURIComponent)
const RAW = ['%ff', '%', '%ed%a0%80', '%00', '']
/** Whole queries, where a parser might see more than a name and a value. */
const QUERIES = [
  '__proto__=1', '__proto__[polluted]=1', 'constructor[prototype][polluted]=1', 'constructor.prototype.polluted=1', 'hasOwnProperty=1', '[]=1', '[__proto__][polluted]=1', '=',
  '&&&', '?', '#', '%00=%00', Array.from({ length: 1500 }, (_, i) => `a${i}`).join('&'), 'a'.repeat(8000)
]

function reads ({ routes }: HostileService): Route[] {
  return routes.filter(({ method }) => method !== 'HEAD')
}

t.test('whatever stands in the query', async t => {
  const service = await startHostile(t)
  const before = { untouched: await service.untouched(), prototypes: prototypes() }
  const requestOf = (route: Route, query: string): Attack => ({ method: route.method, path: `${pathOf(route, service.message)}?${query}`, ...(/^P/.test(route.method) ? { body: '{}' } : {}) })

  await t.test('keys that mean something to the runtime are keys like any other', async t => {
    t.same(await service.attack(reads(service).flatMap(route => QUERIES.map(query => requestOf(route, query)))), [])
  })

  await t.test('no parameter that a route reads can be made to fail it', async t => {
    // What was asked for says what each reads; a refused one may have kept it from reading others.
    const named = reads(service).map(route => ({ route, names: service.queryNames(route) }))
    const total = named.reduce((sum, { names }) => sum + names.length, 0)
    t.ok(total > 60, `${total} parameters were read`)
    const attacks = function * (): Generator<Attack> {
      for (const { route, names } of named) {
        for (const name of names) for (const value of [...VALUES, ...RAW]) yield requestOf(route, `${name}=${value}`)
        for (const name of names) for (const form of [`${name}=a&${name}=b`, `${name}[]=a`, `${name}[a]=b`, `${name}.a=b`, name]) yield requestOf(route, form)
      }
    }
    t.same(await service.attack(attacks()), [])
  })

  await t.test('wildcards in filters stand for themselves', async t => {
    for (const [path, key] of [['/api/v1/resources/queues?search=', 'queues'], ['/api/v1/resources/partitions?search=', 'partitions'], ['/api/v1/traces/names?search=', 'trace_names']] as const) {
      const namesFor = async (text: string): Promise<string[]> => {
        const { json } = await service.send('GET', path + encodeURIComponent(text))
        return json[key].map((entry: { name?: string, trace_name?: string }) => entry.name ?? entry.trace_name)
      }
      t.same(await namesFor('%'), ['100%'], `${path}%`)
      t.same(await namesFor('y_s'), ['by_stander'], `${path}y_s`)
      t.same(await namesFor('.*'), [], `${path}.*`)
    }
    t.match(await service.send('GET', '/api/v1/dlq?error=%25'), { json: { total: 0 } })
  })

  t.equal(prototypes(), before.prototypes)
  t.equal(await service.untouched(), before.untouched, 'queues that nobody has named are as they were')
})
