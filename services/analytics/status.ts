import type { Pool } from '../database/pool.ts'
import { fieldError } from '../json/field-error.ts'
import { queueUuid } from '../log/ids.ts'
import { recentWorkers, workerSeries } from './history.ts'
import type { Totals, WorkerBucket } from './history.ts'
import { shownRange } from './range.ts'
import type { TimeRange } from './range.ts'
import { wireRows } from './wire-rows.ts'

/** Which queues to report on; null: all. */
export interface QueueFilter { queue: string | null, namespace: string | null, task: string | null }

interface ThroughputBucket { bucket: string, seconds: number, push_messages: number, pop_messages: number, ack_success: number }

interface StatusRow {
  totals: Totals
  totals_age: number | null
  pending: number
  dead_letters: number
  active_leases: number
  leased_partitions: number
  batch_size: number
  batch_acked: number
}

const RECENT_MINUTES = 2
const EVERYBODY = { hostname: null, worker: null }

/** The whole service over a range. The filter holds for throughput and queues; everything else is of all of them. */
export async function status (pool: Pool, range: TimeRange, filter: QueueFilter): Promise<object> {
  const { queue, namespace, task } = filter
  const [processes, filtered, queues, workers, [now]] = await Promise.all([
    workerSeries(pool, range, EVERYBODY),
    queue === null && namespace === null && task === null ? null : filteredSeries(pool, range, filter),
    pool.call<{ id: string, name: string, namespace: string, task: string, partitions: number, total_consumed: number }>((sql, schema) => sql`
      select * from ${schema}.used_queues_v1(${queue}, ${namespace}, ${task})`),
    recentWorkers(pool, RECENT_MINUTES, EVERYBODY),
    pool.call<StatusRow & Record<string, unknown>>((sql, schema) => sql`select * from ${schema}.status_v1()`)
  ])
  if (now === undefined) throw new Error('a function without a row')
  const throughput = throughputOf(processes, filtered ?? processes)
  const sum = (field: 'db_errors' | 'ack_failed' | 'dlq'): number => processes.reduce((all, row) => all + row[field], 0)
  return {
    timeRange: shownRange(range),
    bucketMinutes: range.bucketMinutes,
    pointCount: throughput.length,
    throughput,
    queues: queues.map(({ id, ...rest }) => ({ id: queueUuid(Number(id)), ...wireRows(rest) })),
    messages: messagesOf(now),
    leases: {
      active: now.active_leases,
      partitionsWithLeases: now.leased_partitions,
      totalBatchSize: now.batch_size,
      totalAcked: now.batch_acked
    },
    deadLetterQueue: { totalMessages: now.dead_letters, affectedPartitions: 0, topErrors: [] },
    workers: workers.map(({ lastSeen: _lastSeen, ...worker }) => worker),
    errors: { dbErrors: sum('db_errors'), ackFailed: sum('ack_failed'), dlqMessages: sum('dlq') },
    statsAge: now.totals_age ?? -1
  }
}

async function filteredSeries (pool: Pool, { from, to, bucketMinutes }: TimeRange, { queue, namespace, task }: QueueFilter): Promise<ThroughputBucket[]> {
  return await pool.call<ThroughputBucket & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.throughput_series_v1(${from}::text::timestamptz, ${to}::text::timestamptz, ${bucketMinutes}::int,
      ${queue}, ${namespace}, ${task})`)
}

/** Newest first: every bucket in which a process ran or a queue was used. */
function throughputOf (processes: readonly WorkerBucket[], counted: readonly ThroughputBucket[]): object[] {
  const processIn = new Map(processes.map(row => [row.bucket, row]))
  const countedIn = new Map(counted.map(row => [row.bucket, row]))
  const buckets = [...new Set([...processIn.keys(), ...countedIn.keys()])].sort().reverse()
  return buckets.map(bucket => {
    const process = processIn.get(bucket)
    const count = countedIn.get(bucket)
    const { push_messages: ingested, pop_messages: popMessages, ack_success: processed } = count ?? { push_messages: 0, pop_messages: 0, ack_success: 0 }
    const seconds = count?.seconds ?? 60
    return {
      timestamp: bucket,
      ingested,
      processed,
      popMessages,
      ingestedPerSecond: ingested / seconds,
      processedPerSecond: processed / seconds,
      popPerSecond: popMessages / seconds,
      avgLagMs: process?.avg_lag_ms ?? 0,
      maxLagMs: process?.max_lag_ms ?? 0,
      avgEventLoopLagMs: process?.avg_loop_ms ?? 0,
      maxEventLoopLagMs: process?.max_loop_ms ?? 0,
      minFreeSlots: process?.min_free ?? 0,
      dbErrors: process?.db_errors ?? 0,
      ackFailed: process?.ack_failed ?? 0,
      dlqCount: process?.dlq ?? 0,
      queenCpuUserPct: scaled(process?.cpu_user, 1 / 100),
      queenCpuSysPct: scaled(process?.cpu_system, 1 / 100),
      queenRssMb: scaled(process?.rss_bytes, 1 / 1024 / 1024),
      dbPoolActive: process?.pool_active ?? null,
      dbPoolIdle: process?.avg_free ?? null,
      dbPoolSize: process?.pool_size ?? null
    }
  })
}

function scaled (value: number | null | undefined, factor: number): number | null {
  return value === null || value === undefined ? null : value * factor
}

function messagesOf ({ totals, pending, dead_letters: deadLetter }: StatusRow): object {
  const total = (name: string): number => totals[name] ?? 0
  const push = total('push_requests')
  const pop = total('pop_requests')
  const ack = total('ack_requests')
  return {
    total: total('push_messages'),
    pending,
    processing: 0,
    completed: total('ack_success'),
    failed: total('ack_failed'),
    deadLetter,
    requests: { push, pop, ack },
    batchEfficiency: {
      push: ratio(total('push_messages'), push),
      pop: ratio(total('pop_messages'), pop),
      ack: ratio(total('ack_success') + total('ack_failed'), ack)
    }
  }
}

function ratio (messages: number, requests: number): number {
  return requests === 0 ? 0 : Math.round(messages / requests * 100) / 100
}

/** What messages can be counted by, with its shortest length in milliseconds. */
export const UNITS: Readonly<Record<string, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000, week: 604_800_000, month: 28 * 86_400_000 }
export const MOST_POINTS = 10_000

/** Messages pushed per unit of time. Throws a FieldError for a unit there is not, and for too many points. */
export async function pushedPerUnit (pool: Pool, { from, to }: TimeRange, unit: string, { queue, namespace, task }: QueueFilter): Promise<object> {
  const unitMs = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined
  if (unitMs === undefined) throw fieldError('interval', 'range', `must be one of ${Object.keys(UNITS).join(', ')}`)
  if ((Date.parse(to) - Date.parse(from)) / unitMs > MOST_POINTS) {
    throw fieldError('interval', 'range', `is too short for this range: at most ${MOST_POINTS} points are shown`)
  }
  const dataPoints = await pool.call<{ timestamp: string, messages: number }>((sql, schema) => sql`
    select at as timestamp, messages from ${schema}.pushed_per_unit_v1(${from}::text::timestamptz, ${to}::text::timestamptz, ${unit},
      ${queue}, ${namespace}, ${task})`)
  return { dataPoints: [...dataPoints], interval: unit, from, to }
}
