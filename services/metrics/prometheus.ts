import { BUFFER_STATES } from '../buffer/file-buffer.ts'
import type { Pool } from '../database/pool.ts'
import type { BufferFigures } from '../failover/buffered-pushes.ts'
import { FAILOVER_STATES } from '../failover/failover.ts'
import type { FailoverState } from '../failover/failover.ts'
import { addChannels } from './channel-families.ts'
import type { ScrapedChannels } from './channel-families.ts'
import { Exposition } from './exposition.ts'
import type { Labels, Samples } from './exposition.ts'
import { addLag } from './lag-families.ts'
import type { Operations } from './metrics.ts'
import { addObserved } from './observed-families.ts'
import type { ProcessReport } from './process-report.ts'
import type { QueueLag } from './queue-lag.ts'

export interface Scraped {
  /** This process first; several where several are one server. */
  processes: readonly ProcessReport[]
  failover: { buffer: BufferFigures | null, state: FailoverState, isMaintenance: boolean }
  /** What the file buffer may take on the disk; 0: there is none. */
  bufferMaxBytes: number
  channels: ScrapedChannels
  lag: Pick<QueueLag, 'read'>
}

type Row = Readonly<Record<string, number>>

interface ScrapeRow {
  totals: Row | null
  queues: (Row & { queue: string })[] | null
  workers: (Row & { hostname: string, worker_id: string, pid: number })[] | null
  dead_letters: { queue: string, messages: number }[] | null
}

// A scraper waits ten seconds by default and takes no answer for an outage of the process.
const QUERY_TIMEOUT_MS = 2000
const OPERATIONS = ['push', 'pop', 'ack'] as const
const TOTALS: Readonly<Record<string, readonly [column: string, help: string]>> = {
  push_requests: ['push_requests', 'Push requests'],
  pop_requests: ['pop_requests', 'Pop requests'],
  ack_requests: ['ack_requests', 'Acknowledgement requests'],
  transactions: ['transactions', 'Committed transactions'],
  push_messages: ['push_messages', 'Messages stored'],
  pop_messages: ['pop_messages', 'Messages delivered'],
  db_errors: ['db_errors', 'Failed calls to the database'],
  dlq: ['dead_letters', 'Messages dead-lettered']
}

/** What a scraper is shown; while the database is away, or slow, only what this process knows by itself. */
export async function scrape (pool: Pool, scraped: Scraped): Promise<string> {
  const exposition = new Exposition()
  const rows = await pool.call<ScrapeRow & Record<string, unknown>>((sql, schema) => sql`select * from ${schema}.scrape_v1()`, QUERY_TIMEOUT_MS)
    .catch(() => [])
  const lag = rows[0] === undefined ? null : await scraped.lag.read()
  addProcesses(exposition, scraped.processes)
  addServer(exposition, scraped, rows[0] !== undefined)
  addChannels(exposition, scraped.channels)
  if (rows[0] !== undefined) addShared(exposition, rows[0])
  if (lag !== null) addLag(exposition, lag)
  return exposition.toString()
}

function addProcesses (exposition: Exposition, processes: readonly ProcessReport[]): void {
  // One alone needs no name.
  const labelsOf = ({ workerId }: ProcessReport): Labels => processes.length === 1 ? {} : { worker_id: workerId }
  const add = (type: 'gauge' | 'counter') => (name: string, help: string, value: (process: ProcessReport) => number): void => {
    exposition.add(name, type, help, processes.map(process => [labelsOf(process), value(process)]))
  }
  const gauge = add('gauge')
  const counter = add('counter')
  gauge('queen_uptime_seconds', 'Time since the process started', ({ figures }) => figures.uptimeSeconds)
  counter('queen_cpu_user_microseconds_total', 'Processor time of the process in user mode', ({ cpu }) => cpu.user)
  counter('queen_cpu_system_microseconds_total', 'Processor time of the process in system mode', ({ cpu }) => cpu.system)
  gauge('queen_process_resident_memory_bytes', 'Resident memory of the process', ({ rssBytes }) => rssBytes)
  gauge('queen_process_virtual_memory_bytes', 'Address space of the process', ({ figures }) => figures.virtualBytes)
  gauge('queen_db_pool_size', 'Database connections at the most', ({ figures }) => figures.pool.size)
  gauge('queen_db_pool_idle', 'Database connections that are free', ({ figures }) => figures.pool.idle)
  gauge('queen_db_pool_active', 'Database connections in use', ({ figures }) => figures.pool.active)
  const perPool = (value: (process: ProcessReport) => number): Samples =>
    processes.flatMap(process => [[{ pool: 'db', ...labelsOf(process) }, value(process)], [{ pool: 'system', ...labelsOf(process) }, 0]] as const)
  exposition.add('queen_threadpool_size', 'gauge', 'Connections (db); there are no threads', perPool(({ figures }) => figures.pool.size))
  exposition.add('queen_threadpool_queue_size', 'gauge', 'Calls that wait for a connection (db)', perPool(({ figures }) => figures.pool.waiting))
  exposition.add('queen_response_registry_size', 'gauge', 'Requests in flight',
    processes.map(({ workerId, figures }) => [{ worker_id: workerId }, figures.requests.inFlight]))
  const perOperation = (value: (operations: Operations) => number): Samples =>
    processes.flatMap(process => OPERATIONS.map(name => [{ op: name, ...labelsOf(process) }, value(process.figures.operations[name])] as const))
  exposition.add('queen_sidecar_op_count', 'gauge', 'Operations since the process started; of pops, looks for messages', perOperation(({ calls }) => calls))
  exposition.add('queen_sidecar_op_latency_microseconds', 'gauge', 'Mean time of the latest operations', perOperation(({ latencyMicros }) => latencyMicros))
  exposition.add('queen_sidecar_op_items', 'gauge', 'Messages of those operations since the process started', perOperation(({ items }) => items))
  addObserved(exposition, processes, labelsOf)
}

function addServer (exposition: Exposition, { failover, bufferMaxBytes }: Scraped, isDatabaseHealthy: boolean): void {
  const { buffer, state: pushState, isMaintenance } = failover
  const gauge = (name: string, help: string, value: number): void => { exposition.add(name, 'gauge', help, [[{}, value]]) }
  gauge('queen_file_buffer_pending', 'Messages in the file buffer', buffer?.messages ?? 0)
  gauge('queen_file_buffer_failed', 'Records of the file buffer that were set aside as damaged or refused', buffer?.quarantined ?? 0)
  gauge('queen_file_buffer_db_healthy', 'Whether the database answers', isDatabaseHealthy ? 1 : 0)
  gauge('queen_file_buffer_bytes', 'Disk space of the messages in the file buffer', buffer?.bytes ?? 0)
  gauge('queen_file_buffer_max_bytes', 'Disk space the file buffer may take; 0: there is none', bufferMaxBytes)
  gauge('queen_file_buffer_oldest_age_seconds', 'Age of the oldest message in the file buffer', (buffer?.oldestAgeMs ?? 0) / 1000)
  exposition.add('queen_file_buffer_state', 'gauge', 'Whether the file buffer is empty, buffering, full or unavailable',
    BUFFER_STATES.map(state => [{ state }, buffer?.state === state ? 1 : 0]))
  exposition.add('queen_push_state', 'gauge', 'Where pushes go: direct into the database, or into the file buffer',
    FAILOVER_STATES.map(state => [{ state }, pushState === state ? 1 : 0]))
  gauge('queen_maintenance_mode_enabled', 'Whether pushes are kept in the file buffers', isMaintenance ? 1 : 0)
  gauge('queen_queue_backoff_groups', 'Always 0: waiting pops are woken and do not back off', 0)
  gauge('queen_queue_backoff_queues', 'Always 0: waiting pops are woken and do not back off', 0)
  gauge('queen_queue_backoff_avg_interval_milliseconds', 'Always 0: waiting pops are woken and do not back off', 0)
  gauge('queen_shared_state_enabled', 'Always 0: processes share the database only', 0)
}

function addShared (exposition: Exposition, { totals, queues, workers, dead_letters: dead }: ScrapeRow): void {
  const scope = { scope: 'cluster' }
  if (totals !== null) {
    const total = (column: string): number => totals[column] ?? 0
    for (const [name, [column, help]] of Object.entries(TOTALS)) {
      exposition.add(`queen_cluster_${name}_total`, 'counter', `${help}, by all processes`, [[scope, total(column)]])
    }
    exposition.add('queen_cluster_ack_messages_total', 'counter', 'Acknowledgements, by all processes', [[scope, total('ack_success') + total('ack_failed')]])
    exposition.add('queen_cluster_ack_total', 'counter', 'Acknowledgements by result, by all processes',
      [[{ ...scope, result: 'success' }, total('ack_success')], [{ ...scope, result: 'failed' }, total('ack_failed')]])
  }
  addQueues(exposition, (queues ?? []).filter(({ queue }) => queue !== ''))
  addWorkers(exposition, workers ?? [])
  const counts = dead ?? []
  exposition.add('queen_dlq_depth', 'gauge', 'Dead letters', [[scope, counts.reduce((sum, { messages }) => sum + messages, 0)]])
  exposition.add('queen_dlq_depth_by_queue', 'gauge', 'Dead letters by queue', counts.map(({ queue, messages }) => [{ queue }, messages]))
}

function addQueues (exposition: Exposition, rows: readonly (Row & { queue: string })[]): void {
  const add = (name: string, help: string, ...series: readonly (readonly [column: string, labels: Labels])[]): void => {
    exposition.add(`queen_queue_${name}`, 'gauge', help, rows.flatMap(row => series.map(([column, labels]) => [{ queue: row.queue, ...labels }, row[column] ?? 0] as const)))
  }
  add('pop_messages_per_minute', 'Messages delivered in the latest minute', ['pop_messages', {}])
  add('push_requests_per_minute', 'Push requests in the latest minute', ['push_requests', {}])
  add('push_messages_per_minute', 'Messages stored in the latest minute', ['push_messages', {}])
  add('pop_empty_per_minute', 'Pops without messages in the latest minute', ['pop_empty', {}])
  add('transactions_per_minute', 'Committed transactions in the latest minute', ['transactions', {}])
  add('parked_consumers', 'Average number of waiting pops in the latest minute', ['parked', {}])
  add('metrics_age_seconds', 'Age of the latest minute', ['age_seconds', {}])
  add('pop_lag_milliseconds', 'Age of messages at their delivery in the latest minute', ['avg_lag_ms', { stat: 'avg' }], ['max_lag_ms', { stat: 'max' }])
  add('ack_per_minute', 'Acknowledgements in the latest minute', ['ack_success', { result: 'success' }], ['ack_failed', { result: 'failed' }])
}

function addWorkers (exposition: Exposition, rows: readonly (Row & { hostname: string, worker_id: string, pid: number })[]): void {
  const add = (name: string, help: string, ...series: readonly (readonly [value: string | ((row: Row) => number), labels: Labels])[]): void => {
    exposition.add(`queen_worker_${name}`, 'gauge', help, rows.flatMap(row => series.map(([value, labels]) =>
      [{ hostname: row.hostname, worker_id: row.worker_id, pid: row.pid, ...labels }, typeof value === 'string' ? row[value] ?? 0 : value(row)] as const)))
  }
  const sum = (...columns: string[]) => (row: Row): number => columns.reduce((all, column) => all + (row[column] ?? 0), 0)
  add('event_loop_lag_milliseconds', 'Event-loop delay in the latest minute', ['avg_loop_ms', { stat: 'avg' }], ['max_loop_ms', { stat: 'max' }])
  add('lag_milliseconds', 'Age of messages at their delivery in the latest minute', ['avg_lag_ms', { stat: 'avg' }], ['max_lag_ms', { stat: 'max' }])
  add('job_queue_size', 'Requests that wait for a database call', ['avg_waiting', { stat: 'avg' }], ['max_waiting', { stat: 'max' }])
  add('free_slots', 'Free database connections', ['avg_free', { stat: 'avg' }], ['min_free', { stat: 'min' }])
  add('db_connections', 'Database connections at the most', ['pool_size', {}])
  add('backoff_size', 'Always 0: waiting pops are woken and do not back off', [() => 0, {}])
  add('jobs_done_per_minute', 'Requests in the latest minute', [sum('push_requests', 'pop_requests', 'ack_requests', 'transactions'), {}])
  add('db_errors_per_minute', 'Failed calls to the database in the latest minute', ['db_errors', {}])
  add('dlq_per_minute', 'Messages dead-lettered in the latest minute', ['dead_letters', {}])
  add('metrics_age_seconds', 'Age of the latest minute', ['age_seconds', {}])
  add('requests_per_minute', 'Requests in the latest minute', ['push_requests', { op: 'push' }], ['pop_requests', { op: 'pop' }],
    ['ack_requests', { op: 'ack' }], ['transactions', { op: 'transaction' }])
  add('messages_per_minute', 'Messages in the latest minute', ['push_messages', { op: 'push' }], ['pop_messages', { op: 'pop' }],
    [sum('ack_success', 'ack_failed'), { op: 'ack' }])
  add('ack_per_minute', 'Acknowledgements in the latest minute', ['ack_success', { result: 'success' }], ['ack_failed', { result: 'failed' }])
}
