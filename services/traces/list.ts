import type { Pool } from '../database/pool.ts'
import { readStoredLine } from '../dead-letters/stored-message.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { nameFault } from '../json/names.ts'
import { messageId, parseAddress } from '../log/ids.ts'
import type { NamedTrace, Page, Trace, TraceName } from './types.ts'

interface TraceRow {
  total: string
  id: string | null
  event_type: string
  data: string
  consumer_group: string
  worker_id: string
  created_at: string
  names: string
}

interface NamedTraceRow extends TraceRow {
  transaction_id: string
  partition_id: string
  position: string
  queue: string
  partition: string
  line: string | null
}

/** A page of the traces of a message, oldest first, and how many it has. A message that is unknown has none. */
export async function listTraces (pool: Pool, partitionId: string, transactionId: string,
  { limit, offset }: Page): Promise<{ traces: Trace[], total: number }> {
  const partition = parseAddress(partitionId)?.partition
  if (partition === undefined || nameFault(transactionId) !== null) return { traces: [], total: 0 }
  const rows = await pool.call<TraceRow & Record<string, unknown>>((sql, schema) => sql`
    select total, id, event_type, data, consumer_group, worker_id, created_at, array_to_json(names)::text as names
      from ${schema}.list_traces_v1(${partition}::bigint, ${transactionId}, ${limit}::int, ${offset}::int)`)
  return { total: Number(rows[0]?.total), traces: rows.flatMap(row => row.id === null ? [] : [fromRow(row.id, row)]) }
}

/**
 * A page of the traces with a name, oldest first, and how many there are.
 * @param range bounds of their time, both inclusive, as ISO 8601; null: none
 */
export async function listTracesByName (pool: Pool, keys: KeyRing, name: string, { from, to }: { from: string | null, to: string | null },
  { limit, offset }: Page): Promise<{ traces: NamedTrace[], total: number }> {
  const rows = await pool.call<NamedTraceRow & Record<string, unknown>>((sql, schema) => sql`
    select total, id, event_type, data, consumer_group, worker_id, created_at, array_to_json(names)::text as names,
        transaction_id, partition_id, position, queue, partition, line
      from ${schema}.list_traces_by_name_v1(${name}, ${from}::text::timestamptz, ${to}::text::timestamptz, ${limit}::int, ${offset}::int)`)
  return {
    total: Number(rows[0]?.total),
    traces: rows.flatMap(row => row.id === null ? [] : [{ ...fromRow(row.id, row), ...messageOf(keys, row) }])
  }
}

/** A page of the names in use whose text holds `search`, in any case; the one used last first. And how many there are. */
export async function listTraceNames (pool: Pool, search: string | null, { limit, offset }: Page): Promise<{ names: TraceName[], total: number }> {
  const rows = await pool.call<{ total: string, name: string | null, traces: string, messages: string, last_seen: string }>((sql, schema) => sql`
    select * from ${schema}.list_trace_names_v1(${search}, ${limit}::int, ${offset}::int)`)
  return {
    total: Number(rows[0]?.total),
    names: rows.flatMap(({ name, traces, messages, last_seen: lastSeen }) =>
      name === null ? [] : [{ name, traces: Number(traces), messages: Number(messages), lastSeen }])
  }
}

function fromRow (id: string, row: TraceRow): Trace {
  return {
    id,
    eventType: row.event_type,
    data: row.data,
    group: row.consumer_group,
    workerId: row.worker_id,
    createdAt: row.created_at,
    names: JSON.parse(row.names) as string[] // printed by array_to_json
  }
}

function messageOf (keys: KeyRing, row: NamedTraceRow): Omit<NamedTrace, keyof Trace> {
  const { queue, partition, line } = row
  const partitionId = Number(row.partition_id)
  const id = messageId(partitionId, Number(row.position))
  return {
    transactionId: row.transaction_id,
    partitionId,
    queue,
    partition,
    payload: line === null ? null : readStoredLine(keys, { queue, partition, id }, line).data
  }
}
