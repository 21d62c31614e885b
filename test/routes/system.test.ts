import t from 'tap'
import { connect, createDatabase, startService, until } from '../support.ts'
import type { Service } from '../support.ts'
import { parseExposition, valueOf } from './metrics-text.ts'

async function looksOf (service: Service): Promise<number> {
  return valueOf(parseExposition((await service.call('GET', '/metrics/prometheus')).text), 'queen_sidecar_op_count', { op: 'pop' })
}

async function parked (service: Service): Promise<number> {
  return (await service.call('GET', '/health')).json.load.parkedPops
}

t.test('system', async t => {
  const service = await startService(t)
  const post = async (path: string, body?: unknown) => await service.call('POST', path, body)

  t.test('without a file buffer push maintenance can be switched off, and not on', async t => {
    const { status, json } = await service.call('GET', '/api/v1/system/maintenance')
    t.equal(status, 200)
    t.same(json, {
      maintenanceMode: false,
      popMaintenanceMode: false,
      bufferedMessages: 0,
      bufferHealthy: true,
      bufferStats: {
        pendingCount: 0,
        failedCount: 0,
        dbHealthy: true,
        failedFiles: { count: 0, totalBytes: 0, totalMB: 0, failoverCount: 0, qos0Count: 0 },
        state: 'direct',
        buffer: null,
        bytes: 0,
        oldestAgeMs: null
      }
    })
    const off = await post('/api/v1/system/maintenance', { enabled: false })
    t.equal(off.status, 200)
    t.match(off.json, { maintenanceMode: false, bufferedMessages: 0, bufferHealthy: true, message: /\w+ \w+/ })
    t.equal(Object.keys(off.json).length, 4)
    const on = await post('/api/v1/system/maintenance', { enabled: true })
    t.equal(on.status, 501)
    t.match(on.json, { error: /file buffer/, code: 'RGT_NOT_AVAILABLE', retryable: false })
    t.equal((await service.call('GET', '/api/v1/system/maintenance')).json.maintenanceMode, false)
  })

  t.test('both want a real boolean', async t => {
    for (const path of ['/api/v1/system/maintenance', '/api/v1/system/maintenance/pop']) {
      for (const body of [{}, { enabled: 'true' }, { enabled: 1 }, { enabled: null }, [], 'true']) {
        const { status, json } = await post(path, body)
        t.equal(status, 400, JSON.stringify(body))
        t.match(json, { error: 'enabled (boolean) is required', field: 'enabled' })
      }
      t.match((await post(path, '')).json, { error: 'Empty request body' })
      t.equal((await post(path, '{')).status, 400)
    }
    t.equal((await service.call('GET', '/api/v1/system/maintenance/pop')).json.popMaintenanceMode, false)
  })

  t.test('the state of the cluster, under three names', async t => {
    for (const path of ['/api/v1/system/shared-state', '/internal/api/shared-state/stats', '/internal/api/inter-instance/stats']) {
      const { status, json } = await service.call('GET', path)
      t.equal(status, 200)
      t.match(json.server_id, new RegExp(`.:${new URL(service.url).port}$`))
      t.same({ ...json, server_id: '' }, {
        enabled: false,
        running: false,
        server_id: '',
        queue_config_cache: { size: 0, hits: 0, misses: 0, hit_rate: 0 },
        server_health: { servers_tracked: 0, servers_alive: 0, servers_dead: 0, heartbeats_received: 0, restarts_detected: 0 },
        maintenance_mode: false,
        pop_maintenance_mode: false
      })
    }
  })

  t.test('a notification wakes pops that wait for the queue or its label', async t => {
    const quiet = await startService(t, { safetyNetMs: 0 })
    const sql = connect(t, quiet.databaseUrl)
    // Leases end behind the service's back, long before it expects that: nothing but the notification can tell it.
    const endLeases = async (): Promise<void> => { await sql`update regent.cursors set available_at = clock_timestamp() where lease_id is not null` }
    await quiet.call('POST', '/api/v1/configure', { queue: 'told', namespace: 'shop' })
    await quiet.push([{ queue: 'told', payload: 1 }])
    await quiet.pop('told')
    for (const [path, body] of [['/queue/told?', { queue: 'told' }], ['?namespace=shop&', { queue: 'told', partition: 'Default' }]] as const) {
      const looks = await looksOf(quiet)
      const waiting = quiet.call('GET', `/api/v1/pop${path}wait=true&timeout=120000`)
      // Its first look has found the lease.
      await until(async () => await looksOf(quiet) > looks)
      await endLeases()
      t.same((await quiet.call('POST', '/internal/api/notify', body)).json, { status: 'ok' })
      t.equal((await waiting).json.messages.length, 1)
    }
    for (const body of [{}, { queue: '' }, { queue: 5 }, { partition: 'p' }]) {
      const { status, json } = await quiet.call('POST', '/internal/api/notify', body)
      t.equal(status, 400)
      t.match(json, { error: 'queue is required', field: 'queue' })
    }
    t.match((await quiet.call('POST', '/internal/api/notify', { queue: 'q', partition: 1 })).json, { field: 'partition' })
    t.equal((await quiet.call('POST', '/internal/api/notify', { queue: 'a\0b' })).status, 400)
  })

  t.test('refreshing statistics answers zeros: none are computed beforehand', async t => {
    for (const body of [undefined, '{}', 'not json']) {
      const { status, json } = await post('/api/v1/stats/refresh', body)
      t.equal(status, 200)
      t.same(json, {
        partition: { partitionsUpdated: 0, dirtyPartitionsScanned: 0, partitionsSkippedByWatermark: 0, newPartitions: 0 },
        queue: { queuesUpdated: 0 },
        namespace: { namespacesUpdated: 0 },
        task: { tasksUpdated: 0 },
        system: { systemUpdated: 0 },
        cleanup: { orphanedDeleted: 0 }
      })
    }
  })

  t.test('migration to another database is not available', async t => {
    const routes = [['POST', 'test-connection'], ['POST', 'start'], ['GET', 'status'], ['POST', 'validate'], ['POST', 'reset']] as const
    for (const [method, name] of routes) {
      const { status, json } = await service.call(method, `/api/v1/migration/${name}`, method === 'POST' ? { host: 'h' } : undefined)
      t.equal(status, 501, name)
      t.match(json, { error: /pg_dump/, code: 'RGT_NOT_AVAILABLE' })
    }
  })

  t.test('what belongs to an authentication proxy is not here', async t => {
    t.equal((await service.call('GET', '/api/me')).status, 404)
  })
})

t.test('pop maintenance', async t => {
  const databaseUrl = await createDatabase(t)
  // Only notifications can tell: the other ways take longer than the deadlines here.
  const a = await startService(t, { databaseUrl, safetyNetMs: 0 })
  const b = await startService(t, { databaseUrl, safetyNetMs: 0 })
  const isHeld = async (service: typeof a): Promise<boolean> => (await service.call('GET', '/internal/api/shared-state/stats')).json.pop_maintenance_mode

  t.test('holds pops in every process, and lets go of those that wait', async t => {
    await a.push([{ queue: 'held', payload: 1 }])
    t.same((await a.call('GET', '/api/v1/system/maintenance/pop')).json.popMaintenanceMode, false)
    const on = await a.call('POST', '/api/v1/system/maintenance/pop', { enabled: true })
    t.equal(on.status, 200)
    t.match(on.json, { popMaintenanceMode: true, message: /\w+ \w+/ })
    t.equal(Object.keys(on.json).length, 2)
    t.equal(await isHeld(a), true, 'at once here')
    await until(async () => await isHeld(b), 20_000)
    t.equal((await b.call('GET', '/api/v1/system/maintenance')).json.popMaintenanceMode, true)

    for (const service of [a, b]) {
      const { status, json } = await service.pop('held')
      t.equal(status, 200)
      t.same(json, { success: true, queue: 'held', partition: '', partitionId: null, leaseId: null, consumerGroup: '__QUEUE_MODE__', messages: [], paused: true })
    }
    const label = await a.call('GET', '/api/v1/pop?namespace=held&wait=true&timeout=100')
    t.match(label.json, { success: true, messages: [], paused: true })

    const waiting = [a.pop('held?wait=true&timeout=120000'), b.pop('later?wait=true&timeout=120000')]
    await until(async () => await parked(a) === 1 && await parked(b) === 1)
    await b.push([{ queue: 'later', payload: 2 }])
    t.match((await b.pop('later?wait=true&timeout=100')).json, { messages: [], paused: true })
    t.same([await parked(a), await parked(b)], [1, 1], 'a push wakes nobody')

    t.match((await b.call('POST', '/api/v1/system/maintenance/pop', { enabled: false })).json, { popMaintenanceMode: false })
    const answers = await Promise.all(waiting)
    t.same(answers.map(({ json }) => json.messages.map((message: { data: number }) => message.data)), [[1], [2]])
    t.notOk('paused' in answers[0]?.json)
    t.notOk('paused' in (await a.pop('nothing')).json)
  })

  t.test('pushes and acknowledgements go on', async t => {
    await a.push([{ queue: 'goes-on', payload: 1 }])
    const [message] = (await a.pop('goes-on')).json.messages
    await a.call('POST', '/api/v1/system/maintenance/pop', { enabled: true })
    t.equal((await a.push([{ queue: 'goes-on', payload: 2 }])).status, 201)
    t.match((await a.call('POST', '/api/v1/ack', { ...message, status: 'completed' })).json, [{ success: true }])
    t.equal((await a.call('POST', `/api/v1/lease/${message.leaseId}/extend`, {})).status, 404, 'it was acknowledged')
  })

  t.test('outlives a restart', async t => {
    await b.close()
    const again = await startService(t, { databaseUrl, safetyNetMs: 0 })
    t.match((await again.pop('goes-on')).json, { messages: [], paused: true })
    await a.call('POST', '/api/v1/system/maintenance/pop', { enabled: false })
    await until(async () => (await again.pop('goes-on')).json.messages.length === 1, 20_000)
  })
})
