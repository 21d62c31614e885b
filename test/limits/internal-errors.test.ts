// What goes wrong inside is for the log: of an unexpected error a client learns nothing but that there was one.
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import t from 'tap'
import regent from '../../index.ts'
import { connect, createDatabase, request } from '../support.ts'
import type { Answer } from '../support.ts'

const HIDDEN = { success: false, error: 'Internal error', code: 'RGT_INTERNAL', retryable: false }
const SECRET = 'secret-5d20c1'
// Names and texts of the database, of the code and of the machine.
const INSIDE = new RegExp(`${SECRET}|regent[._]\\w|relation |does not exist|PL/pgSQL|SQLSTATE|\\bselect |\\binsert |node_modules|\\.(ts|js|sql)\\b|\\bat .+:\\d+:\\d+|Error:`, 'i')

/** Every table of the service refuses to be written to, as a broken disk or a constraint would, and says why. */
const REFUSE_WRITES = `
  create function public.refuse_writes() returns trigger language plpgsql as $$ begin
    raise exception '${SECRET} in the message' using detail = '${SECRET} in the detail', hint = '${SECRET} in the hint';
  end $$;
  do $$ declare name text; begin
    for name in select quote_ident(table_name) from information_schema.tables where table_schema = 'regent' and table_type = 'BASE TABLE' loop
      execute 'create trigger refuse_writes before insert or update or delete on regent.' || name || ' for each statement execute function public.refuse_writes()';
    end loop;
  end $$`

t.test('routes that fail inside', async t => {
  const databaseUrl = await createDatabase(t)
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } }, forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  const routes: { method: string, path: string }[] = []
  app.addHook('onRoute', ({ method, path, schema }) => {
    // Files of a page: nothing inside is asked for them.
    if (schema?.hide === true) return
    for (const verb of [method].flat()) if (verb !== 'HEAD' && verb !== 'OPTIONS') routes.push({ method: verb, path })
  })
  await app.register(regent, { databaseUrl, maxEventLoopDelayMs: 0 })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const sql = connect(t, databaseUrl)

  await request(`${url}/api/v1/push`, { method: 'POST', body: '{"items":[{"queue":"q","transactionId":"t","payload":1}]}' })
  const { messages: [{ partitionId, leaseId }] } = (await request(`${url}/api/v1/pop/queue/q`)).json
  const ack = { transactionId: 't', partitionId, leaseId, status: 'completed' }
  const bodies: Record<string, object> = {
    '/api/v1/push': { items: [{ queue: 'q', payload: 2 }] },
    '/api/v1/ack': ack,
    '/api/v1/ack/batch': { acknowledgments: [ack] },
    '/api/v1/transaction': { operations: [{ type: 'push', queue: 'q', payload: 2 }, { type: 'ack', ...ack }] },
    '/api/v1/configure': { queue: 'q' },
    '/api/v1/consumer-groups/:group/subscription': { subscriptionTimestamp: '2026-01-01T00:00:00Z' },
    '/api/v1/consumer-groups/:group/queues/:queue/seek': { toEnd: true },
    '/api/v1/consumer-groups/:group/queues/:queue/partitions/:partition/seek': { toEnd: true },
    '/api/v1/dlq/redrive': { queue: 'q' },
    '/api/v1/dlq/purge': { queue: 'q' },
    '/api/v1/traces': { transactionId: 't', partitionId, data: 1, traceNames: ['n'] },
    '/api/v1/system/maintenance/pop': { enabled: false },
    '/internal/api/notify': { queue: 'q' }
  }
  const filledIn = (path: string): string => path.replace(':partitionId', partitionId).replace(':leaseId', leaseId).replace(':transactionId', 't').replace(':queue', 'q')
    .replace(/:(channel|id)\b/g, randomUUID()).replace(':deadLetterId', '1').replace(/:partition\b/, 'Default').replace(/:\w+/g, 'x')

  /** What all routes answer now that is no success. */
  async function refusals (): Promise<(Answer & { route: string })[]> {
    const answers = await Promise.all(routes.map(async ({ method, path }) => {
      const body = bodies[path]
      const answer = await request(`${url}${filledIn(path)}?timeout=100`, { method, ...(method === 'GET' || body === undefined ? {} : { body: JSON.stringify(body) }) })
      return { ...answer, route: `${method} ${path}` }
    }))
    return answers.filter(({ status, json }) => status >= 400 || json?.success === false || 'error' in Object(json))
  }

  for (const [how, breakIt, fewest] of [['tables that refuse to be written to', REFUSE_WRITES, 8], ['functions that are gone', 'alter schema regent rename to gone', 30]] as const) {
    t.test(how, async t => {
      await sql.unsafe(breakIt)
      lines.length = 0
      const answers = await refusals()
      const internal = answers.filter(({ status }) => status === 500)
      t.ok(internal.length >= fewest, `${internal.length} routes`)
      t.same(internal.filter(({ json }) => JSON.stringify(json) !== JSON.stringify(HIDDEN)).map(({ route, text }) => `${route}: ${text}`), [])
      t.same(answers.filter(({ text, headers }) => INSIDE.test(text) || INSIDE.test(JSON.stringify([...headers]))).map(({ route, text }) => `${route}: ${text}`), [])
      t.equal(lines.filter(line => line.includes('"status":500,')).length, internal.length, 'each is in the log')
      if (breakIt === REFUSE_WRITES) t.match(lines.join(), SECRET, 'with its cause')
      t.equal((await request(`${url}/health`)).status, 200, 'the service itself is well')
    })
  }
})
