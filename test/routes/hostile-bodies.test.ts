import t from 'tap'
import { QUEUE_OPTION_RULES } from '../../services/queue/queue-options.ts'
import { TEXTS, pathOf, prototypes, startHostile } from './hostile-service.ts'
import type { Attack, HostileService, Route } from './hostile-service.ts'

type Body = { [field: string]: unknown }

/** What each route takes that takes something. */
function bodies ({ partitionId, transactionId }: HostileService['message']): Record<string, Body> {
  const ack = { transactionId, partitionId, status: 'retry', consumerGroup: 'g', leaseId: '00000000-0001-4000-8000-000000000000', error: 'why' }
  const item = { queue: 'q', partition: 'p', transactionId: 't', traceId: '11111111-2222-4333-8444-555555555555', payload: { a: [1] } }
  const seek = { toEnd: false, toStart: false, timestamp: '2026-01-01T00:00:00Z' }
  const selection = { ids: ['999999'], queue: 'q', partition: 'p', consumerGroup: 'g', limit: 1 }
  return {
    'POST /api/v1/push': { items: [item] },
    'POST /api/v1/ack': ack,
    'POST /api/v1/ack/batch': { acknowledgments: [ack], consumerGroup: 'g' },
    'POST /api/v1/transaction': { operations: [{ type: 'push', items: [item] }, { type: 'ack', ...ack }], requiredLeases: ['x'] },
    'POST /api/v1/lease/:leaseId/extend': { seconds: 60 },
    'POST /api/v1/configure': { queue: 'configured', namespace: 'n', task: 't', options: Object.fromEntries(Object.entries(QUEUE_OPTION_RULES).map(([name, rule]) => [name, rule.default])), merge: true },
    'POST /api/v1/consumer-groups/:group/subscription': { subscriptionTimestamp: '2026-01-01' },
    'POST /api/v1/consumer-groups/:group/queues/:queue/seek': seek,
    'POST /api/v1/consumer-groups/:group/queues/:queue/partitions/:partition/seek': seek,
    'POST /api/v1/dlq/redrive': selection,
    'POST /api/v1/dlq/purge': selection,
    'POST /api/v1/messages/:partitionId/:transactionId/dlq': { consumerGroup: 'g', error: 'why' },
    'POST /api/v1/traces': { transactionId, partitionId, data: { a: 1 }, eventType: 'e', consumerGroup: 'g', workerId: 'w', traceNames: ['n'] },
    'POST /api/v1/system/maintenance': { enabled: false },
    'POST /api/v1/system/maintenance/pop': { enabled: false },
    'PUT /api/v1/system/log-level': { level: 'silent' },
    'POST /internal/api/notify': { queue: 'q', partition: 'p' }
  }
}

/** Routes that read no body, or hand it on unread. */
const WITHOUT = new Set([
  'POST /api/v1/dlq/:deadLetterId/redrive', 'POST /api/v1/messages/:partitionId/:transactionId/retry', 'POST /api/v1/stats/refresh',
  'POST /api/v1/channels/:channel/requests', 'POST /api/v1/channels/:channel/requests/:id/reply',
  'POST /api/v1/migration/test-connection', 'POST /api/v1/migration/start', 'POST /api/v1/migration/validate', 'POST /api/v1/migration/reset'
])

/** Values as they stand in a body, whatever was meant to stand there. */
const VALUES = [
  ...TEXTS.map(text => JSON.stringify(text)), '"\\ud800"', '"\\udc00x"', '"\\u0000"', '""', 'null', 'true', '-1', '0', '1e400', '-1e400', '1.5', '9007199254740993', '1e-7', '2147483648',
  '[]', '{}', '[[]]', '["a","a"]', '[null]', '{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '{"toString":1}', '{"length":9}', `${'['.repeat(70)}${']'.repeat(70)}`
]

/** Whole bodies that are none, or something else. */
const WHOLE = [
  '', ' ', '{', '}', 'null', '0', '"x"', '[]', '[{}]', '{"a":1}x', '{"a":1,"a":2}', '{"__proto__":null}', '\ufeff{}', '{"a":"\n"}', '{"a":\u00a01}', "{'a':1}", '{"a":01}', '//\n{}',
  `${'{"a":'.repeat(600)}1${'}'.repeat(600)}`, '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}', `{${Array.from({ length: 2000 }, (_, i) => `"k${i}":${i}`).join(',')}}`
]

/** The body once for each of its values, with a hole in the place of it. */
function holes (value: unknown, around: (text: string) => string = text => text): ((hole: string) => string)[] {
  const own = (hole: string): string => around(hole)
  if (Array.isArray(value)) {
    return [own, ...value.flatMap((entry, i) => holes(entry, text => around(`[${value.map((other, j) => i === j ? text : JSON.stringify(other)).join(',')}]`)))]
  }
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value)
    return [own, ...fields.flatMap(([name, entry]) => holes(entry, text => around(`{${fields.map(([other, its]) => `${JSON.stringify(other)}:${other === name ? text : JSON.stringify(its)}`).join(',')}}`)))]
  }
  return [own]
}

/** The body with keys in each of its objects that mean something to the runtime. */
function poisoned (body: Body): string {
  return JSON.stringify(body).replaceAll('{', '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},').replaceAll(',}', '}')
}

t.test('whatever stands in the body', async t => {
  const service = await startHostile(t)
  const before = { untouched: await service.untouched(), prototypes: prototypes() }
  const known = bodies(service.message)
  const taking = service.routes.filter(({ method }) => /^P/.test(method))
  const requestOf = (route: Route, body: string): Attack => ({ method: route.method, path: pathOf(route, service.message), body })
  const bodyOf = ({ method, path }: Route): Body | undefined => known[`${method} ${path}`]

  await t.test('of every route that takes something it is known here what', async t => {
    const names = taking.map(({ method, path }) => `${method} ${path}`)
    t.same(names.filter(name => known[name] === undefined && !WITHOUT.has(name)), [], 'routes without a body in this test')
    t.same([...Object.keys(known), ...WITHOUT].filter(name => !names.includes(name)), [], 'bodies without a route')
  })

  await t.test('what is no such body is refused with a reason', async t => {
    t.same(await service.attack(taking.flatMap(route => WHOLE.map(body => requestOf(route, body)))), [])
  })

  await t.test('any value in any place of it', async t => {
    const attacks = function * (): Generator<Attack> {
      for (const route of taking) {
        const body = bodyOf(route)
        if (body !== undefined) for (const fill of holes(body)) for (const value of VALUES) yield requestOf(route, fill(value))
      }
    }
    t.same(await service.attack(attacks()), [])
  })

  await t.test('keys that mean something to the runtime change nothing', async t => {
    t.same(await service.attack(taking.flatMap(route => bodyOf(route) === undefined ? [] : [requestOf(route, poisoned(bodyOf(route) ?? {}))])), [])
    const stored = await service.send('POST', '/api/v1/push', { body: '{"items":[{"queue":"poison","payload":{"__proto__":{"polluted":1},"a":1}}]}' })
    t.equal(stored.status, 201)
    t.match((await service.send('GET', '/api/v1/pop/queue/poison')).text, '"data":{"__proto__":{"polluted":1},"a":1}', 'and payloads come back as they were')
  })

  t.equal(prototypes(), before.prototypes)
  t.notOk('polluted' in {})
  t.equal(await service.untouched(), before.untouched, 'queues that nobody has named are as they were')
  t.match(await service.send('GET', '/health'), { status: 200 })
})
