import type { Pool } from '../database/pool.ts'
import { shownRange } from './range.ts'
import type { TimeRange } from './range.ts'
import { wireRows } from './wire-rows.ts'

/** Which processes to report on; null: all. */
export interface Processes { hostname: string | null, worker: number | null }

/** A bucket of regent.worker_series_v1. Numbers of processes that took no sample are null. */
export interface WorkerBucket {
  bucket: string
  seconds: number
  push_requests: number
  push_messages: number
  pop_requests: number
  pop_messages: number
  ack_requests: number
  ack_success: number
  ack_failed: number
  transactions: number
  dlq: number
  db_errors: number
  lag_count: number
  avg_lag_ms: number
  max_lag_ms: number
  samples: number
  avg_loop_ms: number | null
  max_loop_ms: number | null
  avg_free: number | null
  min_free: number | null
  avg_waiting: number | null
  max_waiting: number | null
  pool_size: number | null
  pool_active: number | null
  cpu_user: number | null
  cpu_system: number | null
  rss_bytes: number | null
}

export interface RecentWorker {
  hostname: string
  workerId: number
  avgEventLoopLagMs: number
  maxEventLoopLagMs: number
  freeSlots: number
  dbConnections: number
  jobQueueSize: number
  messagesProcessed: number
  lastSeen: string
}

/** What the processes did in a range, per bucket, newest first. */
export async function workerSeries (pool: Pool, { from, to, bucketMinutes }: TimeRange, { hostname, worker }: Processes): Promise<WorkerBucket[]> {
  return await pool.call<WorkerBucket & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.worker_series_v1(${from}::text::timestamptz, ${to}::text::timestamptz, ${bucketMinutes}::int, ${hostname}, ${worker}::int)`)
}

/** The processes that wrote something in the last minutes. */
export async function recentWorkers (pool: Pool, minutes: number, { hostname, worker }: Processes): Promise<RecentWorker[]> {
  const rows = await pool.call((sql, schema) => sql`
    select * from ${schema}.recent_workers_v1(${minutes}::int, ${hostname}, ${worker}::int)`)
  return wireRows(rows) as unknown as RecentWorker[] // the columns of the function are its fields
}

const RECENT_MINUTES = 5

/** What the processes did, and which they are. */
export async function workerMetrics (pool: Pool, range: TimeRange, processes: Processes): Promise<object> {
  const { from, to } = range
  const { hostname, worker } = processes
  const [series, workers, queues, totals] = await Promise.all([
    workerSeries(pool, range, processes),
    recentWorkers(pool, RECENT_MINUTES, processes),
    pool.call((sql, schema) => sql`
      select * from ${schema}.busy_queues_v1(${from}::text::timestamptz, ${to}::text::timestamptz, ${hostname}, ${worker}::int)`),
    readTotals(pool)
  ])
  return {
    timeRange: shownRange(range),
    bucketMinutes: range.bucketMinutes,
    pointCount: series.length,
    timeSeries: series.map(workerPoint),
    // There is no back-off: what waits is woken.
    workers: workers.map(recent => ({ ...recent, backoffSize: 0 })),
    queues: wireRows(queues),
    summary: totals === null ? {} : summary(totals)
  }
}

function workerPoint (row: WorkerBucket): object {
  const ackMessages = row.ack_success + row.ack_failed
  return {
    timestamp: row.bucket,
    pushMessages: row.push_messages,
    popMessages: row.pop_messages,
    ackMessages,
    pushRequests: row.push_requests,
    popRequests: row.pop_requests,
    ackRequests: row.ack_requests,
    jobsDone: row.push_requests + row.pop_requests + row.ack_requests + row.transactions,
    pushPerSecond: row.push_messages / row.seconds,
    popPerSecond: row.pop_messages / row.seconds,
    ackPerSecond: ackMessages / row.seconds,
    avgEventLoopLagMs: row.avg_loop_ms ?? 0,
    maxEventLoopLagMs: row.max_loop_ms ?? 0,
    avgFreeSlots: row.avg_free ?? 0,
    minFreeSlots: row.min_free ?? 0,
    dbConnections: row.pool_size ?? 0,
    avgJobQueueSize: row.avg_waiting ?? 0,
    maxJobQueueSize: row.max_waiting ?? 0,
    backoffSize: 0,
    avgLagMs: row.avg_lag_ms,
    maxLagMs: row.max_lag_ms,
    lagCount: row.lag_count,
    dbErrors: row.db_errors,
    ackSuccess: row.ack_success,
    ackFailed: row.ack_failed,
    dlqCount: row.dlq
  }
}

/** Running totals of all processes by name. */
export type Totals = Readonly<Record<string, number>>

/** Null when nothing was ever written. */
async function readTotals (pool: Pool): Promise<Totals | null> {
  const rows = await pool.call<{ name: string, value: number }>((sql, schema) => sql`
    select name, value::float8 from ${schema}.metric_totals`)
  return rows.length === 0 ? null : Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}

function summary (totals: Totals): object {
  const total = (name: string): number => totals[name] ?? 0
  return {
    totalPushMessages: total('push_messages'),
    totalPopMessages: total('pop_messages'),
    totalAckMessages: total('ack_success') + total('ack_failed'),
    totalPushRequests: total('push_requests'),
    totalPopRequests: total('pop_requests'),
    totalAckRequests: total('ack_requests'),
    totalDbErrors: total('db_errors'),
    totalAckFailed: total('ack_failed'),
    totalDlq: total('dead_letters'),
    pendingMessages: total('push_messages') - total('pop_messages')
  }
}

/** Lag of each queue at delivery, a row per queue and minute (an hour once it is old). */
export async function queueLag (pool: Pool, { from, to }: TimeRange, queue: string | null): Promise<object[]> {
  return wireRows(await pool.call((sql, schema) => sql`
    select * from ${schema}.queue_lag_v1(${from}::text::timestamptz, ${to}::text::timestamptz, ${queue})`))
}

interface QueueBucket { bucket: string, seconds: number, queueName: string, pushMessages: number, popMessages: number, popEmpty: number, ackSuccess: number, ackFailed: number }

/** What happened to each queue. */
export async function queueOperations (pool: Pool, range: TimeRange, queue: string | null): Promise<object> {
  const rows = await pool.call((sql, schema) => sql`
    select * from ${schema}.queue_series_v1(${range.from}::text::timestamptz, ${range.to}::text::timestamptz, ${range.bucketMinutes}::int, ${queue})`)
  const series = (wireRows(rows) as unknown as QueueBucket[]).map(({ seconds, ...bucket }) => ({ // the columns of the function are its fields
    ...bucket,
    pushPerSecond: bucket.pushMessages / seconds,
    popPerSecond: bucket.popMessages / seconds,
    ackPerSecond: (bucket.ackSuccess + bucket.ackFailed) / seconds,
    emptyPerSecond: bucket.popEmpty / seconds
  }))
  return {
    timeRange: shownRange(range),
    bucketMinutes: range.bucketMinutes,
    queues: [...new Set(series.map(({ queueName }) => queueName))].sort(),
    series
  }
}

/** How many pops were parked, by queue and process. */
export async function parkedReplicas (pool: Pool, range: TimeRange, queue: string | null): Promise<object> {
  const rows = await pool.call<{ hostname: string, worker_id: number }>((sql, schema) => sql`
    select * from ${schema}.parked_series_v1(${range.from}::text::timestamptz, ${range.to}::text::timestamptz, ${range.bucketMinutes}::int, ${queue})`)
  const replicas = new Map(rows.map(({ hostname, worker_id: workerId }) => [`${hostname}\0${workerId}`, { hostname, workerId }]))
  return { timeRange: shownRange(range), bucketMinutes: range.bucketMinutes, series: wireRows(rows), replicas: [...replicas.values()] }
}

interface RetentionBucket { retentionMsgs: number, completedRetentionMsgs: number, evictionMsgs: number, totalMsgs: number, eventCount: number }

/** What the background jobs deleted. */
export async function retentionHistory (pool: Pool, range: TimeRange, queue: string | null): Promise<object> {
  const rows = await pool.call((sql, schema) => sql`
    select * from ${schema}.retention_series_v1(${range.from}::text::timestamptz, ${range.to}::text::timestamptz, ${range.bucketMinutes}::int, ${queue})`)
  const series = wireRows(rows) as unknown as RetentionBucket[] // the columns of the function are its fields
  const totals: RetentionBucket = { retentionMsgs: 0, completedRetentionMsgs: 0, evictionMsgs: 0, totalMsgs: 0, eventCount: 0 }
  for (const bucket of series) {
    totals.retentionMsgs += bucket.retentionMsgs
    totals.completedRetentionMsgs += bucket.completedRetentionMsgs
    totals.evictionMsgs += bucket.evictionMsgs
    totals.totalMsgs += bucket.totalMsgs
    totals.eventCount += bucket.eventCount
  }
  return { timeRange: shownRange(range), bucketMinutes: range.bucketMinutes, series, totals }
}

/** What PostgreSQL knows about itself. */
export async function postgresStats (pool: Pool): Promise<object> {
  const [row] = await pool.call<{ stats: object }>((sql, schema) => sql`select ${schema}.postgres_stats_v1(${pool.schema}) as stats`)
  return wireRows(row?.stats ?? {})
}
