import Fastify from 'fastify'
import type { RouteOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent from '../../index.ts'
import { connect, createDatabase, request } from '../support.ts'
import type { Answer } from '../support.ts'
import { SECRET, bearer, sign, startProtected } from './support.ts'
import type { Protected } from './support.ts'

interface Entry { method: string, path: string, queueIn: string | undefined }
/** What there is of a queue: a leased message, a dead letter. */
interface Things { queue: string, partitionId: string, transactionId: string, leaseId: string, deadLetterId: string }

const NO_PARTITION = '0000ffff-ffff-8000-8000-000000000000'

/** How the routes whose handlers check are told of a queue, and the field that is named when it is not the caller's. */
const HANDLED: Record<string, (things: Things) => { path?: string, body?: object, field: string }> = {
  'POST /api/v1/push': ({ queue }) => ({ body: { items: [{ queue: 'mine' }, { queue: 'mine' }, { queue }] }, field: 'items[2].queue' }),
  'POST /api/v1/ack': ({ partitionId, transactionId, leaseId }) => ({ body: { partitionId, transactionId, leaseId, consumerGroup: 'g' }, field: 'partitionId' }),
  'POST /api/v1/ack/batch': ({ partitionId, transactionId }) => ({ body: { acknowledgments: [{ partitionId: 'x', transactionId }, { partitionId, transactionId }], consumerGroup: 'g' }, field: 'acknowledgments[1].partitionId' }),
  'POST /api/v1/transaction': ({ queue }) => ({ body: { operations: [{ type: 'push', items: [{ queue: 'mine' }] }, { type: 'push', items: [{ queue: 'mine' }, { queue }] }] }, field: 'operations[1].items[1].queue' }),
  'POST /api/v1/lease/:leaseId/extend': ({ leaseId }) => ({ path: `/api/v1/lease/${leaseId}/extend`, body: { seconds: 600 }, field: 'leaseId' }),
  'POST /api/v1/configure': ({ queue }) => ({ body: { queue, options: { leaseTime: 9 } }, field: 'queue' }),
  'GET /api/v1/dlq/:deadLetterId': ({ deadLetterId }) => ({ path: `/api/v1/dlq/${deadLetterId}`, field: 'deadLetterId' }),
  'HEAD /api/v1/dlq/:deadLetterId': ({ deadLetterId }) => ({ path: `/api/v1/dlq/${deadLetterId}`, field: 'deadLetterId' }),
  'POST /api/v1/dlq/redrive': ({ queue }) => ({ body: { queue }, field: 'queue' }),
  'POST /api/v1/dlq/purge': ({ deadLetterId }) => ({ body: { ids: [deadLetterId] }, field: 'ids[0]' }),
  'POST /api/v1/dlq/:deadLetterId/redrive': ({ deadLetterId }) => ({ path: `/api/v1/dlq/${deadLetterId}/redrive`, field: 'deadLetterId' }),
  'DELETE /api/v1/resources/queues/:queue': ({ queue }) => ({ path: `/api/v1/resources/queues/${queue}`, field: 'queue' }),
  'DELETE /api/v1/dlq/:deadLetterId': ({ deadLetterId }) => ({ path: `/api/v1/dlq/${deadLetterId}`, field: 'deadLetterId' }),
  'POST /api/v1/traces': ({ partitionId, transactionId }) => ({ body: { partitionId, transactionId, data: 1 }, field: 'partitionId' })
}

async function prepare (as: (method: string, path: string, body?: unknown) => Promise<Answer>, queue: string): Promise<Things> {
  await as('POST', '/api/v1/push', { items: [{ queue, transactionId: 'one' }, { queue, transactionId: 'two' }] })
  const popped = (await as('GET', `/api/v1/pop/queue/${queue}?batch=2&consumerGroup=g`)).json.messages as { partitionId: string, leaseId: string }[]
  const { partitionId = '', leaseId = '' } = popped[0] ?? {}
  await as('POST', '/api/v1/ack', { transactionId: 'one', partitionId, leaseId, consumerGroup: 'g', status: 'dlq' })
  const [deadLetter] = (await as('GET', `/api/v1/dlq?queue=${queue}`)).json.messages
  return { queue, partitionId, transactionId: 'two', leaseId, deadLetterId: deadLetter.deadLetterId }
}

function requestFor ({ method, path, queueIn }: Entry, things: Things): { path: string, body?: object, field?: string } {
  const filled = path.replace(':queue', things.queue).replace(':partitionId', things.partitionId).replace(':transactionId', things.transactionId).replace(/:\w+/g, 'x')
  if (queueIn === 'handler') return { path, ...HANDLED[`${method} ${path}`]?.(things) }
  return { path: queueIn === 'query' ? `${filled}?queue=${things.queue}` : filled, ...queueIn === undefined ? {} : { field: queueIn === 'partition' ? 'partitionId' : 'queue' } }
}

t.test('a token that is limited to queues gets at no other on any route', async t => {
  const app = Fastify({ routerOptions: { maxParamLength: 4096 }, forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  const registered: { path: string, options: RouteOptions }[] = []
  app.addHook('onRoute', options => { registered.push({ path: options.path, options }) })
  const databaseUrl = await createDatabase(t)
  await app.register(regent, { databaseUrl, jwtEnabled: true, jwtSecret: SECRET, jwtQueuesClaim: 'queues', maxEventLoopDelayMs: 0 })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  // Some are told later which access they need.
  const routes: Entry[] = registered.filter(({ options }) => options.config?.access !== 'public')
    .flatMap(({ path, options: { method, config } }) => [method].flat().map(verb => ({ method: verb, path, queueIn: config?.queueIn })))
  const caller = async (claims: object): Promise<(method: string, path: string, body?: unknown) => Promise<Answer>> => {
    const token = await sign({ role: 'admin', ...claims })
    return async (method, path, body) => await request(url + path, { method, ...bearer(token), ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  }
  const anybody = await caller({})
  const limited = await caller({ queues: ['mine', 'team.*'] })
  const theirs = await prepare(anybody, 'theirs')
  const mine = await prepare(anybody, 'mine')
  await prepare(anybody, 'team')
  const sql = connect(t, databaseUrl)
  const everything = async (): Promise<unknown> => [
    ...await sql`select partition_id, first, body from regent.segments order by 1, 2`,
    ...await sql`select id, line from regent.dead_letters order by 1`,
    ...await sql`select partition_id, group_id, committed, acked, available_at, lease_id from regent.cursors order by 1, 2`,
    ...await sql`select id, name, lease_seconds from regent.queues order by 1`
  ]
  const before = await everything()

  t.same(routes.filter(({ method, path, queueIn }) => queueIn === 'handler' && HANDLED[`${method} ${path}`] === undefined), [], 'every route that checks by itself is tried here')
  for (const route of routes) {
    const label = `${route.method} ${route.path}`
    const { path, body, field } = requestFor(route, theirs)
    const { status, json } = await limited(route.method, path, body)
    t.equal(status, 403, label)
    if (route.method !== 'HEAD') t.match(json, { success: false, code: 'RGT_QUEUE_FORBIDDEN', retryable: false, ...(field === undefined ? {} : { field }) }, label)
    if (route.queueIn === 'query') t.equal((await limited(route.method, path.slice(0, path.indexOf('?')))).status, 403, `${label} of all queues`)
    if (route.queueIn === 'path') {
      t.equal((await limited(route.method, path.replace('theirs', 'th%65irs'))).status, 403, `${label} in another spelling`)
      t.equal((await limited(route.method, `${path.replace('theirs', 'team')}?queue=mine`)).status, 403, `${label}: the path counts`)
    }
    if (route.queueIn === 'partition') t.equal((await limited(route.method, path.replace(theirs.partitionId, NO_PARTITION))).status, 403, `${label}: what is not there looks the same`)
  }
  t.same(await everything(), before, 'nothing has happened')

  // What deletes comes last.
  for (const route of routes.filter(({ queueIn }) => queueIn !== undefined).sort((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'))) {
    const { path, body } = requestFor(route, mine)
    const { status, text } = await limited(route.method, path, body)
    t.notOk([401, 403, 500].includes(status), `${route.method} ${route.path}: ${status} ${text.slice(0, 200)}`)
  }
  for (const [method, path, body] of [['POST', '/api/v1/push', { items: [{ queue: 'team.a' }] }], ['GET', '/api/v1/pop/queue/team.a']] as const) {
    t.ok((await limited(method, path, body)).status < 300, 'by a pattern')
  }
  t.same((await anybody('GET', '/api/v1/dlq?queue=theirs')).json.total, 1)
})

async function startWithClaim (t: Test): Promise<{ service: Protected, token: (queues: unknown, more?: object) => Promise<string> }> {
  const service = await startProtected(t, { jwtQueuesClaim: 'queues' })
  return { service, token: async (queues, more = {}) => await sign({ role: 'admin', ...(queues === undefined ? {} : { queues }), ...more }) }
}

t.test('without the claim a token is not limited, and a claim of another form refuses it', async t => {
  const { service, token } = await startWithClaim(t)
  const push = async (queues: unknown, queue: string): Promise<Answer> => await service.as(await token(queues), 'POST', '/api/v1/push', { items: [{ queue }] })
  t.equal((await push(undefined, 'any')).status, 201)
  t.equal((await push('a*', 'any')).status, 201, 'one pattern')
  t.equal((await push('a', 'any')).status, 403)
  t.equal((await push([], 'any')).status, 403, 'no queue at all')
  t.equal((await push(['*'], 'any')).status, 201)
  for (const odd of [null, {}, 7, true, [7], ['any', null], [''], '']) {
    t.match(await push(odd, 'any'), { status: 401, json: { code: 'RGT_TOKEN_INVALID', error: /^Invalid claim: queues must be/ } }, JSON.stringify(odd))
  }
  t.equal((await service.as(await token(['*']), 'GET', '/api/v1/resources/queues')).status, 403, 'limited to all queues there are is limited all the same')
  t.equal((await service.as(await token(['q'], { role: 'consume-only' }), 'POST', '/api/v1/push', { items: [{ queue: 'q' }] })).json.code, 'RGT_FORBIDDEN', 'roles hold besides')
})

t.test('the claim means nothing where no option names it', async t => {
  const service = await startProtected(t)
  t.equal((await service.as(await sign({ role: 'admin', queues: [] }), 'POST', '/api/v1/push', { items: [{ queue: 'any' }] })).status, 201)
})

t.test('a transaction is refused whole when any part of it belongs to others', async t => {
  const { service, token } = await startWithClaim(t)
  const all = await token(undefined)
  const anybody = async (method: string, path: string, body?: unknown): Promise<Answer> => await service.as(all, method, path, body)
  const limited = await token(['mine'])
  const mine = await prepare(anybody, 'mine')
  const theirs = await prepare(anybody, 'theirs')
  const ack = ({ partitionId, transactionId, leaseId }: Things): object => ({ type: 'ack', partitionId, transactionId, leaseId, consumerGroup: 'g' })
  const commit = async (operations: object[], requiredLeases: string[] = []): Promise<Answer> => await service.as(limited, 'POST', '/api/v1/transaction', { operations, requiredLeases })
  const push = { type: 'push', items: [{ queue: 'mine', payload: 'new' }] }
  t.match(await commit([push, ack(mine), ack(theirs)]), { status: 403, json: { code: 'RGT_QUEUE_FORBIDDEN' } })
  t.match(await commit([push, ack(mine)], [theirs.leaseId]), { status: 403, json: { field: 'requiredLeases' } })
  t.equal((await anybody('GET', '/api/v1/messages?queue=mine')).json.messages.length, 2, 'nothing was stored')
  t.match(await commit([push, ack(mine)], [mine.leaseId]), { status: 200, json: { success: true } })
})

t.test('ids besides a queue mean those of the queue, and a name is not widened', async t => {
  const { service, token } = await startWithClaim(t)
  const all = await token(undefined)
  const anybody = async (method: string, path: string, body?: unknown): Promise<Answer> => await service.as(all, method, path, body)
  const theirs = await prepare(anybody, 'theirs')
  for (const action of ['redrive', 'purge']) {
    const { status, json } = await service.as(await token(['mine']), 'POST', `/api/v1/dlq/${action}`, { queue: 'mine', ids: [theirs.deadLetterId] })
    t.equal(status, 200)
    t.equal(json.redriven ?? json.purged, 0)
  }
  t.equal((await anybody('GET', `/api/v1/dlq/${theirs.deadLetterId}`)).status, 200)
  // Where there is no a+b, a client is taken to mean "a b".
  await service.as(all, 'POST', '/api/v1/push', { items: [{ queue: 'a b' }] })
  t.equal((await service.as(await token(['a+b']), 'DELETE', '/api/v1/resources/queues/a+b')).status, 403)
  t.equal((await anybody('GET', '/api/v1/resources/queues/a%20b')).status, 200)
  await service.as(all, 'POST', '/api/v1/push', { items: [{ queue: 'c d' }] })
  t.match(await service.as(await token(['c d']), 'DELETE', '/api/v1/resources/queues/c+d'), { status: 200, json: { existed: true } }, 'of the two its own is meant')
  t.match(await service.as(await token(['a+b', 'a b']), 'DELETE', '/api/v1/resources/queues/a+b'), { status: 200, json: { existed: true } })
})
