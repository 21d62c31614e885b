import type { Pool } from '../database/pool.ts'
import { plainArray, textArray } from '../database/literals.ts'
import type { Delivery, Look, LookSpec } from '../poll/types.ts'
import type { PassedBy } from './passed-by.ts'

interface PopRow {
  spec: number
  request: number | null
  state: Look['state']
  next_ms: number | null
  queue: string
  namespace: string
  task: string
  group_id: string
  partition_id: string
  partition: string
  lease: string | null
  first: string
  last: string
  at: string
  body: string
  skip: string | null
  attempts: string | null
  /** On the row after a spec: how many leases that had run out were taken over, and how the partitions were gone through. */
  expired: number
  scan_ms: number | null
  passed: string | null
}

/** What a call brought: a look for each spec, and how many leases that had run out it took over. */
export interface Looked { looks: Look[], expiredLeases: number }

// One call gathers no more than this, so that a few large messages cannot fill memory; the rest is looked for again.
const MAX_CALL_BYTES = 16 * 1024 * 1024

/** Look for messages for several specs in one call. Everything it claims is in the result. Throws what Pool.call throws. */
export async function lookForMessages (pool: Pool, passedBy: PassedBy, specs: LookSpec[]): Promise<Looked> {
  const requests = specs.flatMap(spec => spec.requests)
  const from = specs.map(spec => passedBy.from(spec))
  const rows = await pool.call<PopRow & Record<string, unknown>>((sql, schema) => sql`
    select spec, request, state, next_ms, queue, namespace, task, group_id, partition_id, partition, lease, first, last, at, body, skip, attempts, expired, scan_ms, passed
      from ${schema}.pop_v2(${textArray(specs.map(spec => spec.target.queue))}::text::text[],
        ${textArray(specs.map(spec => spec.target.partition))}::text::text[], ${textArray(specs.map(spec => spec.target.namespace))}::text::text[],
        ${textArray(specs.map(spec => spec.target.task))}::text::text[], ${textArray(specs.map(spec => spec.group))}::text::text[],
        ${textArray(specs.map(spec => spec.subscription.mode))}::text::text[],
        ${textArray(specs.map(({ subscription }) => subscription.mode === 'timestamp' ? subscription.from : null))}::text::text[],
        ${plainArray(specs.map(spec => spec.waitedMs()))}::text::float8[], ${plainArray(specs.map(spec => spec.requests.length))}::text::int[],
        ${plainArray(requests.map(request => request.batch))}::text::int[], ${plainArray(requests.map(request => request.partitions))}::text::int[],
        ${plainArray(requests.map(request => request.autoAck ? 't' : 'f'))}::text::boolean[],
        ${plainArray(requests.map(request => request.token))}::text::text[], ${MAX_CALL_BYTES}::bigint,
        ${textArray(from)}::text::text[],
        ${plainArray(specs.map(spec => spec.requests.some(request => !request.waits) ? 't' : 'f'))}::text::boolean[])`, undefined, 'pop')
  return looksOf(specs, rows, (row, i) => {
    const spec = specs[i]
    if (spec === undefined || row.scan_ms === null || row.passed === null) return null
    return passedBy.saw(spec, from[i] ?? null, { scanMs: row.scan_ms, passed: row.passed })
  })
}

/** @param againMs when a look is to be repeated because it left something out, in milliseconds; null: it did not */
function looksOf (specs: LookSpec[], rows: PopRow[], againMs: (row: PopRow, spec: number) => number | null): Looked {
  const offsets: number[] = []
  let offset = 0
  for (const spec of specs) {
    offsets.push(offset)
    offset += spec.requests.length
  }
  const looks: Look[] = specs.map(spec => ({ deliveries: spec.requests.map(() => null), state: 'ok', nextMs: null }))
  let expiredLeases = 0
  for (const row of rows) {
    const look = looks[row.spec - 1]
    if (look === undefined) continue
    if (row.request === null) {
      look.state = row.state
      const again = againMs(row, row.spec - 1)
      look.nextMs = again === null ? row.next_ms : Math.min(again, row.next_ms ?? again)
      expiredLeases += row.expired
      continue
    }
    const index = row.request - 1 - (offsets[row.spec - 1] ?? 0)
    const delivery: Delivery = look.deliveries[index] ??= { queue: row.queue, namespace: row.namespace, task: row.task, leaseId: row.lease, runs: [] }
    delivery.runs.push({
      partitionId: Number(row.partition_id),
      partition: row.partition,
      groupId: Number(row.group_id),
      first: Number(row.first),
      last: Number(row.last),
      createdAt: row.at,
      body: row.body,
      skip: row.skip,
      attempts: row.attempts
    })
  }
  return { looks, expiredLeases }
}

/** Give back what was claimed for a client that has gone, without counting it as a delivery; to be had again after `holdMs`. */
export async function releaseDelivery (pool: Pool, { leaseId, runs }: Delivery, holdMs = 0): Promise<void> {
  // A partition's runs are neighbours; what is undone is the whole stretch.
  const stretches = new Map<number, { groupId: number, first: number, last: number }>()
  for (const run of runs) {
    // Rewinding would bring back what had been acknowledged out of order in between.
    if (leaseId === null && run.skip !== null) continue
    const stretch = stretches.get(run.partitionId)
    if (stretch === undefined) stretches.set(run.partitionId, { groupId: run.groupId, first: run.first, last: run.last })
    else stretch.last = run.last
  }
  const claims = [...stretches.entries()].sort(([a], [b]) => a - b)
  await pool.call((sql, schema) => sql`
    select ${schema}.release_v2(${plainArray(claims.map(([id]) => id))}::text::bigint[],
      ${plainArray(claims.map(([, claim]) => claim.groupId))}::text::bigint[], ${plainArray(claims.map(() => leaseId))}::text::uuid[],
      ${plainArray(claims.map(([, claim]) => claim.first))}::text::bigint[], ${plainArray(claims.map(([, claim]) => claim.last))}::text::bigint[], ${holdMs}::float8)`)
}

/** Give back whatever was claimed under these tokens by looks whose answer never arrived. */
export async function recoverClaims (pool: Pool, group: string, tokens: string[]): Promise<void> {
  await pool.call((sql, schema) => sql`select ${schema}.recover_v1(${group}, ${plainArray(tokens)}::text::text[])`)
}
