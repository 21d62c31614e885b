import type { Pool } from '../database/pool.ts'
import { shownRange } from './range.ts'
import type { TimeRange } from './range.ts'

interface Leaf { avg: number, min: number, max: number, last: number }

interface SystemRow {
  hostname: string
  port: number
  worker_id: string
  bucket: string
  sample_count: number
  figures: Record<string, Leaf> | null
}

interface Point { timestamp: string, sampleCount: number, metrics: object }
interface Replica { hostname: string, port: number, workerId: string, timeSeries: Point[] }

const NONE: Leaf = { avg: 0, min: 0, max: 0, last: 0 }

/** Sampled figures of every process over a range; `worker` is its WORKER_ID. */
export async function systemMetrics (pool: Pool, range: TimeRange, hostname: string | null, worker: string | null): Promise<object> {
  const rows = await pool.call<SystemRow & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.system_series_v1(${range.from}::text::timestamptz, ${range.to}::text::timestamptz, ${range.bucketMinutes}::int,
      ${hostname}, ${worker})`)
  const replicas = new Map<string, Replica>()
  for (const row of rows) {
    const key = `${row.hostname}\0${row.port}\0${row.worker_id}`
    let replica = replicas.get(key)
    if (replica === undefined) {
      replica = { hostname: row.hostname, port: row.port, workerId: row.worker_id, timeSeries: [] }
      replicas.set(key, replica)
    }
    replica.timeSeries.push({ timestamp: row.bucket, sampleCount: row.sample_count, metrics: metricsOf(row.figures ?? {}) })
  }
  return {
    timeRange: shownRange(range),
    bucketMinutes: range.bucketMinutes,
    pointCount: rows.length,
    replicaCount: replicas.size,
    replicas: [...replicas.values()]
  }
}

function metricsOf (figures: Readonly<Record<string, Leaf>>): object {
  const leaf = (name: string): Leaf => figures[name] ?? NONE
  return {
    cpu: { user_us: leaf('cpu.user_us'), system_us: leaf('cpu.system_us') },
    memory: { rss_bytes: leaf('memory.rss_bytes'), virtual_bytes: leaf('memory.virtual_bytes') },
    database: { pool_size: leaf('database.pool_size'), pool_idle: leaf('database.pool_idle'), pool_active: leaf('database.pool_active') },
    // There are no threads: what waits for the database waits for a connection.
    threadpool: {
      db: { pool_size: leaf('database.pool_size'), queue_size: leaf('database.waiting') },
      system: { pool_size: NONE, queue_size: NONE }
    },
    registries: { response: leaf('registries.response') },
    shared_state: WITHOUT_CLUSTER_SYNC
  }
}

// Processes share the database and need no other state in common.
const WITHOUT_CLUSTER_SYNC = {
  enabled: false,
  sidecar_ops: { push: nulls('count', 'latency_us', 'items'), pop: nulls('count', 'latency_us', 'items'), ack: nulls('count', 'latency_us', 'items') },
  queue_backoff: nulls('queues_with_backoff', 'total_backed_off_groups', 'avg_interval_ms'),
  queue_backoff_summary: null,
  queue_config_cache: nulls('size', 'hits', 'misses'),
  consumer_presence: nulls('queues_tracked', 'servers_tracked', 'total_registrations'),
  server_health: nulls('alive', 'dead'),
  transport: nulls('sent', 'received', 'dropped')
}

function nulls (...names: string[]): Record<string, null> {
  return Object.fromEntries(names.map(name => [name, null]))
}
