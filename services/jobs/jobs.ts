import type { Statement } from '../database/pool.ts'
import { settleStart } from '../groups/start.ts'
import { removalStep } from './removals.ts'
import type { Job, JobContext } from './runner.ts'
import { walk } from './walk.ts'
import type { WalkStep } from './walk.ts'

export interface JobSettings {
  retentionIntervalMs: number
  evictionIntervalMs: number
  /** Messages per step. */
  retentionBatchSize: number
  evictionBatchSize: number
  /** Days; 0: for ever. */
  partitionCleanupDays: number
  metricsRetentionDays: number
  deadLetterRetentionDays: number
  traceRetentionDays: number
}

// What a crash has left of deletions; whoever deletes clears up after it at once.
const REMOVALS_INTERVAL_MS = 60_000
// Pops of a group whose start has come cost a little more until its cursors have been moved there.
const STARTS_INTERVAL_MS = 300_000
// Whole days decide here, and every partition is looked at.
const CLEANUP_INTERVAL_MS = 3_600_000
const PARTITIONS_PER_STEP = 5000
const ROWS_PER_STEP = 1000

/** The background jobs; docs/retention.md says what each deletes. */
export function jobsOf (settings: JobSettings): Job[] {
  return [
    { name: 'removals', intervalMs: REMOVALS_INTERVAL_MS, run: async context => { await untilDone(context, async () => await removalStep(context)) } },
    { name: 'eviction', intervalMs: settings.evictionIntervalMs, run: async context => { await evict(context, settings.evictionBatchSize) } },
    { name: 'retention', intervalMs: settings.retentionIntervalMs, run: async context => { await retain(context, settings.retentionBatchSize) } },
    { name: 'starts', intervalMs: STARTS_INTERVAL_MS, run: settleStarts },
    { name: 'partitions', intervalMs: CLEANUP_INTERVAL_MS, run: async context => { await dropIdlePartitions(context, settings.partitionCleanupDays) } },
    { name: 'expiry', intervalMs: CLEANUP_INTERVAL_MS, run: async context => { await expire(context, settings) } }
  ]
}

async function retain (context: JobContext, batchSize: number): Promise<void> {
  const queues = await context.call<{ queue_id: string }>((sql, schema) => sql`select queue_id from ${schema}.retention_due_v1()`)
  for (const { queue_id: queue } of queues) {
    await walk(context, async (after, afterId) => await context.call<WalkStep>((sql, schema) => sql`
      select * from ${schema}.retention_step_v1(${queue}::bigint, ${after}, ${afterId}::bigint, ${batchSize}::int)`))
  }
}

async function evict (context: JobContext, batchSize: number): Promise<void> {
  const due = await context.call<{ queue_id: string, group_id: string | null }>((sql, schema) => sql`
    select queue_id, group_id from ${schema}.eviction_due_v1()`)
  for (const { queue_id: queue, group_id: group } of due) {
    await walk(context, async (after, afterId) => await context.call<WalkStep>((sql, schema) => group === null
      ? sql`select * from ${schema}.eviction_unread_step_v1(${queue}::bigint, ${after}, ${afterId}::bigint, ${batchSize}::int)`
      : sql`select * from ${schema}.eviction_step_v1(${group}::bigint, ${after}, ${afterId}::bigint, ${batchSize}::int)`))
  }
}

async function settleStarts (context: JobContext): Promise<void> {
  const groups = await context.call<{ id: string }>((sql, schema) => sql`select id from ${schema}.groups where starts_at <= clock_timestamp() order by id`)
  for (const { id } of groups) await settleStart(context, id, context.pause)
}

async function dropIdlePartitions (context: JobContext, days: number): Promise<void> {
  if (days === 0) return
  for (let after: string | null = '0'; after !== null; await context.pause()) {
    const from: string = after
    const [row]: { after: string | null }[] = await context.call<{ after: string | null }>((sql, schema) => sql`
      select after from ${schema}.idle_partitions_step_v1(${days}::int, ${from}::bigint, ${PARTITIONS_PER_STEP}::int)`)
    after = row?.after ?? null
  }
}

async function expire (context: JobContext, settings: JobSettings): Promise<void> {
  const { deadLetterRetentionDays, traceRetentionDays, metricsRetentionDays } = settings
  const steps: [days: number, statement: Statement<Gone>][] = [
    [deadLetterRetentionDays, (sql, schema) => sql`select ${schema}.expire_dead_letters_v1(${deadLetterRetentionDays}::int, ${ROWS_PER_STEP}::int) as gone`],
    [traceRetentionDays, (sql, schema) => sql`select ${schema}.expire_traces_v1(${traceRetentionDays}::int, ${ROWS_PER_STEP}::int) as gone`],
    [metricsRetentionDays, (sql, schema) => sql`select ${schema}.expire_metrics_v1(${metricsRetentionDays}::int, ${ROWS_PER_STEP}::int) as gone`],
    [metricsRetentionDays, (sql, schema) => sql`select ${schema}.expire_history_v1(${metricsRetentionDays}::int, ${ROWS_PER_STEP}::int) as gone`]
  ]
  for (const [days, statement] of steps) {
    if (days > 0) await untilDone(context, async () => goneOf(await context.call(statement)))
  }
  await untilDone(context, async () => goneOf(await context.call<Gone>((sql, schema) => sql`select ${schema}.rollup_metrics_v1(${ROWS_PER_STEP}::int) as gone`)))
}

interface Gone { gone: number }

function goneOf ([row]: Gone[]): number {
  return row?.gone ?? 0
}

/** Take steps until one has found nothing to do. */
async function untilDone (context: JobContext, step: () => Promise<number>): Promise<void> {
  while (await step() > 0) await context.pause()
}
