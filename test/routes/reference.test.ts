import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import t from 'tap'
import regent from '../../index.ts'
import { ERRORS } from '../../services/errors.ts'
import { packageRoot } from '../../services/package-root.ts'
import { QUEUE_OPTION_RULES } from '../../services/queue/queue-options.ts'
import { createDatabase } from '../support.ts'

const text = readFileSync(new URL('docs/reference/http-api.md', packageRoot()), 'utf8')

t.test('the reference lists every route that is registered, and no other', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const registered: string[] = []
  app.addHook('onRoute', ({ method, path }) => {
    for (const verb of [method].flat()) if (verb !== 'HEAD' && verb !== 'OPTIONS') registered.push(`${verb} ${path}`)
  })
  await app.register(regent, { databaseUrl: await createDatabase(t) })
  await app.ready()
  const rows = [...text.matchAll(/^\| (GET|POST|PUT|DELETE) \| `([^`]+)` \| ([\d ]+) \|.*\|$/gm)]
  t.same(rows.map(([, verb, path]) => `${verb} ${path}`).sort(), registered.sort())
  const known = new Set([101, 200, 201, 204, 431, ...Object.values(ERRORS).map(kind => kind.status)])
  for (const [, verb, path, statuses = ''] of rows) {
    t.same(statuses.split(' ').map(Number).filter(status => !known.has(status)), [], `${verb} ${path}: statuses the service can answer with`)
  }
})

t.test('the reference lists every option of a queue with its default', async t => {
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\S+) \| .* \|$/gm)].map(([, name, value]) => [name, value])
  t.same(Object.fromEntries(rows), Object.fromEntries(Object.entries(QUEUE_OPTION_RULES).map(([name, rule]) => [name, String(rule.default)])))
})
