import t from 'tap'
import { connect, databaseUrl, startService, until } from '../support.ts'
import { parseExposition, valueOf } from './metrics-text.ts'

const OWN_FAMILIES = ['queen_uptime_seconds', 'queen_cpu_user_microseconds_total', 'queen_cpu_system_microseconds_total', 'queen_process_resident_memory_bytes',
  'queen_process_virtual_memory_bytes', 'queen_db_pool_size', 'queen_db_pool_idle', 'queen_db_pool_active', 'queen_threadpool_size',
  'queen_threadpool_queue_size', 'queen_response_registry_size', 'queen_sidecar_op_count', 'queen_sidecar_op_latency_microseconds', 'queen_sidecar_op_items',
  'queen_lane_waiting', 'queen_lane_calls', 'queen_db_pool_waiting', 'queen_parked_pops', 'queen_messages_stored_total', 'queen_messages_delivered_total',
  'queen_messages_redelivered_total', 'queen_messages_dead_lettered_total', 'queen_leases_expired_total', 'queen_db_call_failures_total',
  'queen_messages_acknowledged_total', 'queen_http_request_duration_seconds', 'queen_lane_wait_seconds', 'queen_lane_call_items',
  'queen_db_call_duration_seconds', 'queen_wake_latency_seconds', 'queen_message_age_seconds', 'queen_event_loop_delay_seconds',
  'queen_file_buffer_pending', 'queen_file_buffer_failed', 'queen_file_buffer_db_healthy',
  'queen_file_buffer_bytes', 'queen_file_buffer_max_bytes', 'queen_file_buffer_oldest_age_seconds', 'queen_file_buffer_state', 'queen_push_state',
  'queen_maintenance_mode_enabled',
  'queen_queue_backoff_groups', 'queen_queue_backoff_queues', 'queen_queue_backoff_avg_interval_milliseconds', 'queen_shared_state_enabled',
  'queen_channels', ...['connections', 'requests_queued', 'exchanges', 'claims', 'pending_bytes', 'frames_total', 'payload_bytes_total', 'invalid_frames_total',
    'requests_opened_total', 'requests_requeued_total', 'requests_ended_total', 'requests_refused_total'].map(name => `queen_channel_${name}`)]
const CLUSTER_FAMILIES = ['push_requests', 'pop_requests', 'ack_requests', 'transactions', 'push_messages', 'pop_messages', 'ack_messages', 'db_errors', 'dlq', 'ack']
  .map(name => `queen_cluster_${name}_total`)
const QUEUE_FAMILIES = ['pop_messages_per_minute', 'push_requests_per_minute', 'push_messages_per_minute', 'pop_empty_per_minute', 'transactions_per_minute',
  'parked_consumers', 'metrics_age_seconds', 'pop_lag_milliseconds', 'ack_per_minute'].map(name => `queen_queue_${name}`)
const WORKER_FAMILIES = ['event_loop_lag_milliseconds', 'lag_milliseconds', 'job_queue_size', 'free_slots', 'db_connections', 'backoff_size', 'jobs_done_per_minute',
  'db_errors_per_minute', 'dlq_per_minute', 'metrics_age_seconds', 'requests_per_minute', 'messages_per_minute', 'ack_per_minute'].map(name => `queen_worker_${name}`)

/** Without those about lag: it is counted every few seconds, so it is not known which of them there are. */
function namesIn (families: ReturnType<typeof parseExposition>): string[] {
  return [...families.keys()].filter(name => !name.startsWith('queen_queue_lag_'))
}

t.test('metrics', async t => {
  const service = await startService(t, { workerId: 'worker-9', poolSize: 7, metricsSampleMs: 20, metricsAggregateSeconds: 3600 })
  const scrape = async () => await service.call('GET', '/metrics/prometheus')

  t.test('/metrics answers the figures of the process', async t => {
    await service.push([{ queue: 'figures', payload: 1 }, { queue: 'figures', payload: 2 }])
    const { status, json } = await service.call('GET', '/metrics')
    t.equal(status, 200)
    t.same(Object.keys(json).sort(), ['channels', 'cpu', 'database', 'memory', 'messages', 'requests', 'uptime'])
    t.ok(json.uptime > 0)
    t.match(json.requests, { total: Number, rate: Number })
    t.ok(json.requests.total >= 2)
    t.equal(json.messages.total, 2)
    t.type(json.messages.rate, 'number')
    t.same(Object.keys(json.database).sort(), ['idleConnections', 'poolSize', 'waitingRequests'])
    t.equal(json.database.poolSize, 7)
    t.same(Object.keys(json.memory).sort(), ['arrayBuffers', 'external', 'heapTotal', 'heapUsed', 'rss'])
    t.ok(json.memory.rss > 0)
    t.ok(json.cpu.user > 0 && json.cpu.system >= 0)
  })

  t.test('/metrics/prometheus before anything was written: no family without samples', async t => {
    const families = parseExposition((await scrape()).text)
    t.same(namesIn(families), [...OWN_FAMILIES, 'queen_dlq_depth'])
    t.equal(valueOf(families, 'queen_file_buffer_db_healthy'), 1)
    t.equal(valueOf(families, 'queen_db_pool_size'), 7)
    t.equal(valueOf(families, 'queen_response_registry_size', { worker_id: 'worker-9' }), 1, 'this one')
    t.equal(valueOf(families, 'queen_sidecar_op_items', { op: 'push' }), 2)
  })

  t.test('every family once, with its samples together, whatever queues are called', async t => {
    const name = 'a "quoted"\\back\nline, b="1"} 5'
    await service.push([{ queue: name, payload: 1 }])
    const [message] = (await service.pop(encodeURIComponent(name))).json.messages
    await service.call('POST', '/api/v1/ack', { ...message, status: 'dlq' })
    await service.call('POST', '/api/v1/stats/refresh')
    const { status, headers, text } = await scrape()
    t.equal(status, 200)
    t.equal(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
    t.equal(headers.get('cache-control'), 'no-cache')
    t.equal(headers.get('access-control-allow-origin'), null)
    const families = parseExposition(text)
    t.same(namesIn(families).sort(), [...OWN_FAMILIES, ...CLUSTER_FAMILIES, ...QUEUE_FAMILIES, ...WORKER_FAMILIES, 'queen_dlq_depth', 'queen_dlq_depth_by_queue'].sort())
    t.equal(valueOf(families, 'queen_queue_push_messages_per_minute', { queue: name }), 1)
    t.equal(valueOf(families, 'queen_dlq_depth_by_queue', { queue: name }), 1)
    for (const family of WORKER_FAMILIES) {
      for (const { labels } of families.get(family)?.samples ?? []) t.match(labels, { hostname: /./, worker_id: 'worker-9', pid: String(process.pid) })
    }
    t.same(families.get('queen_worker_free_slots')?.samples.map(({ labels }) => labels.stat), ['avg', 'min'])
    t.same(families.get('queen_worker_requests_per_minute')?.samples.map(({ labels }) => labels.op), ['push', 'pop', 'ack', 'transaction'])
  })

  t.test('minutes that are over for long are not shown', async t => {
    const sql = connect(t, service.databaseUrl)
    await sql`update regent.queue_metrics set bucket = bucket - interval '6 minutes'`
    await sql`update regent.worker_metrics set bucket = bucket - interval '6 minutes'`
    const families = parseExposition((await scrape()).text)
    t.same(namesIn(families).filter(name => /^queen_(queue_(?!backoff)|worker)/.test(name)), [])
    t.ok(families.has('queen_cluster_push_messages_total'))
  })

  t.test('pops that wait are requests in flight, until they are answered or gone', async () => {
    const gone = new AbortController()
    const waiting = [service.pop('empty?wait=true&timeout=60000', { signal: gone.signal }).catch(() => null), service.pop('empty?wait=true&timeout=60000')]
    const inFlight = async (): Promise<number> => valueOf(parseExposition((await scrape()).text), 'queen_response_registry_size', { worker_id: 'worker-9' })
    await until(async () => await inFlight() === 3)
    gone.abort()
    await until(async () => await inFlight() === 2)
    await service.push([{ queue: 'empty', payload: 1 }])
    await Promise.all(waiting)
    await until(async () => await inFlight() === 1)
  })

  t.test('while the database is away, the process tells what it knows by itself', async t => {
    const admin = connect(t, databaseUrl(), 1)
    const database = new URL(service.databaseUrl).pathname.slice(1)
    await admin.unsafe(`alter database ${database} with allow_connections false`)
    await until(async () => {
      await admin`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${database}`
      return await admin.unsafe(`alter database ${database} rename to ${database}_away`).then(() => true, () => false)
    })
    await until(async () => {
      const families = parseExposition((await scrape()).text)
      if (valueOf(families, 'queen_file_buffer_db_healthy') === 1) return false
      t.same([...families.keys()], OWN_FAMILIES)
      return true
    })
    t.equal((await service.call('GET', '/metrics')).status, 200)
    t.match((await service.call('GET', '/api/v1/status/buffers')).json, { dbHealthy: false })
    t.match((await service.call('GET', '/api/v1/system/maintenance')).json, { popMaintenanceMode: false, bufferStats: { dbHealthy: false } })
    t.equal((await service.call('POST', '/api/v1/system/maintenance/pop', { enabled: true })).status, 503)
    t.equal((await service.call('POST', '/api/v1/stats/refresh')).status, 503)
    await admin.unsafe(`alter database ${database}_away rename to ${database}`)
    await admin.unsafe(`alter database ${database} with allow_connections true`)
    await until(async () => (await service.call('POST', '/api/v1/stats/refresh')).status === 200)
    const families = parseExposition((await scrape()).text)
    t.equal(valueOf(families, 'queen_cluster_push_messages_total', { scope: 'cluster' }), 4, 'nothing was lost or counted twice')
    t.ok(valueOf(families, 'queen_cluster_db_errors_total', { scope: 'cluster' }) > 0)
  })
})
