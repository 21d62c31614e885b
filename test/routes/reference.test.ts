import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import t from 'tap'
import regent from '../../index.ts'
import { ERRORS } from '../../services/errors.ts'
import { packageRoot } from '../../services/package-root.ts'
import { QUEUE_OPTION_RULES } from '../../services/queue/queue-options.ts'
import { createDatabase } from '../support.ts'

/** What is said of all routes together: bodies that cannot be read, limits, faults. */
const OF_ANY_ROUTE = new Set(['400', '413', '429', '500', '503'])

const text = readFileSync(new URL('docs/reference/http-api.md', packageRoot()), 'utf8')

t.test('the reference lists every route that is registered, and no other', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const registered: string[] = []
  app.addHook('onRoute', ({ method, path, schema }) => {
    // What belongs to the page of the description is described in words.
    if (schema?.hide === true) return
    for (const verb of [method].flat()) if (verb !== 'HEAD' && verb !== 'OPTIONS') registered.push(`${verb} ${path}`)
  })
  await app.register(regent, { databaseUrl: await createDatabase(t) })
  await app.ready()
  const rows = [...text.matchAll(/^\| (GET|POST|PUT|DELETE) \| `([^`]+)` \| ([\d ]+) \|.*\|$/gm)]
  t.same(rows.map(([, verb, path]) => `${verb} ${path}`).sort(), registered.sort())
  const known = new Set([101, 200, 201, 204, 431, ...Object.values(ERRORS).map(kind => kind.status)])
  const { paths } = (await app.inject('/openapi.json')).json()
  for (const [, verb = '', path = '', statuses = ''] of rows) {
    const listed = statuses.split(' ')
    const described = Object.keys(paths[path.replace(/:(\w+)/g, '{$1}')][verb.toLowerCase()].responses)
    t.same(listed.filter(status => !known.has(Number(status)) || !described.includes(status)), [], `${verb} ${path}: statuses the service can answer with`)
    t.same(described.filter(status => !listed.includes(status) && !OF_ANY_ROUTE.has(status)), [], `${verb} ${path}: statuses it is described with`)
  }
})

t.test('the reference lists every option of a queue with its default', async t => {
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\S+) \| .* \|$/gm)].map(([, name, value]) => [name, value])
  t.same(Object.fromEntries(rows), Object.fromEntries(Object.entries(QUEUE_OPTION_RULES).map(([name, rule]) => [name, String(rule.default)])))
})
