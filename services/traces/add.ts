import { textArray } from '../database/literals.ts'
import type { Pool } from '../database/pool.ts'
import { RegentError } from '../errors.ts'
import { nameFault } from '../json/names.ts'
import { hashId } from '../log/hash.ts'
import { parseAddress } from '../log/ids.ts'
import type { NewTrace } from './types.ts'

/**
 * Record a trace of a message; its id.
 * @throws RegentError RGT_MESSAGE_UNKNOWN
 */
export async function addTrace (pool: Pool, trace: NewTrace): Promise<string> {
  const { transactionId, group, eventType, workerId, data, names } = trace
  const partition = parseAddress(trace.partitionId)?.partition
  // No message has an id that cannot be stored.
  if (partition === undefined || nameFault(transactionId) !== null) throw new RegentError('RGT_MESSAGE_UNKNOWN')
  const [row] = await pool.call<{ id: string | null }>((sql, schema) => sql`
    select ${schema}.add_trace_v1(${partition}::bigint, ${hashId(transactionId)}::bigint, ${JSON.stringify(transactionId)}, ${transactionId},
      ${group}, ${eventType}, ${workerId}, ${data}, ${textArray(names)}::text::text[]) as id`)
  if (typeof row?.id !== 'string') throw new RegentError('RGT_MESSAGE_UNKNOWN')
  return row.id
}
