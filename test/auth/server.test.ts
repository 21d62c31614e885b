import t from 'tap'
import { readyUrl, spawnServer } from '../fixtures/server-process.ts'
import { createDatabase, request } from '../support.ts'
import { SECRET, bearer, sign } from './support.ts'

t.test('the server asks for tokens where its environment says so, and prints none of its secrets', async t => {
  const server = spawnServer(t, {
    env: { LOG_LEVEL: 'trace', DATABASE_URL: await createDatabase(t), FILE_BUFFER_DIR: 'off', JWT_ENABLED: 'true', JWT_SECRET: SECRET, JWT_QUEUES_CLAIM: 'queues' }
  })
  const url = await readyUrl(server)
  const token = await sign({ sub: 'a program', role: 'produce-only', queues: ['orders.*'] })
  const push = async (queue: string, init: RequestInit): Promise<number> =>
    (await request(`${url}/api/v1/push`, { method: 'POST', body: JSON.stringify({ items: [{ queue }] }), ...init })).status
  t.equal(await push('orders.eu', {}), 401)
  t.equal(await push('orders.eu', bearer(token)), 201)
  t.equal(await push('invoices', bearer(token)), 403)
  t.equal((await request(`${url}/api/v1/pop/queue/orders.eu`, bearer(token))).status, 403)
  t.equal((await request(`${url}/health`)).status, 200)
  server.process.kill('SIGTERM')
  t.equal(await server.ended, 0, server.output())
  for (const secret of [SECRET, token, token.split('.')[1] ?? token]) t.notOk(server.output().includes(secret))
})

t.test('the server does not start with a port that goes round its tokens', async t => {
  const server = spawnServer(t, {
    env: { DATABASE_URL: 'postgres://127.0.0.1:1/x', JWT_ENABLED: 'true', JWT_SECRET: SECRET, CHANNELS_PORT: '0', CHANNELS_HOST: '0.0.0.0' }
  })
  t.equal(await server.ended, 1)
  t.match(server.errors(), /^ {2}CHANNELS_HOST: must be a loopback address/m)
  t.notOk(server.output().includes(SECRET))
})
