import { readFileSync } from 'node:fs'
import t from 'tap'
import { connect, databaseUrl, startService, until } from '../support.ts'

t.test('health', async t => {
  const service = await startService(t, { workerId: 'worker-7' })
  const admin = connect(t, databaseUrl(), 1)
  const name = new URL(service.databaseUrl).pathname.slice(1)

  t.test('answers 200 with what clients and probes read', async t => {
    const { status, json } = await service.call('GET', '/health')
    t.equal(status, 200)
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    t.match(json, { status: 'healthy', database: 'connected', version, worker_id: 7, queen: { worker_id: 7, status: 'active' } })
    t.type(json.shared_state, 'object')
    t.same(json.load, { parkedPops: 0, pushesWaiting: 0, acksWaiting: 0, transactionsWaiting: 0, dedupBytes: json.load.dedupBytes })
  })

  t.test('answers 503 with the same shape while the database is away, and 200 once it is back', async t => {
    const healthy = (await service.call('GET', '/health')).json
    await admin.unsafe(`alter database ${name} with allow_connections false`)
    await admin`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`
    let answer = await service.call('GET', '/health')
    await until(async () => (answer = await service.call('GET', '/health')).status === 503)
    t.match(answer.json, { status: 'unhealthy', database: 'disconnected' })
    t.same(Object.keys(answer.json), Object.keys(healthy))
    await admin.unsafe(`alter database ${name} with allow_connections true`)
    await until(async () => (await service.call('GET', '/health')).status === 200)
    t.equal((await service.push([{ queue: 'after', payload: 1 }])).status, 201)
  })

  t.test('counts the pops that wait, and no longer those that were answered', async t => {
    const pops = [1, 2, 3].map(async i => await service.pop(`parked${i % 2}?wait=true&timeout=15000`))
    await until(async () => (await service.call('GET', '/health')).json.load.parkedPops === 3)
    await service.push([{ queue: 'parked0', payload: 1 }, { queue: 'parked1', partition: 'p', payload: 1 }, { queue: 'parked1', payload: 1 }])
    for (const { json } of await Promise.all(pops)) t.equal(json.messages.length, 1)
    t.equal((await service.call('GET', '/health')).json.load.parkedPops, 0)
  })
})
