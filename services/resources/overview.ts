import type { Pool } from '../database/pool.ts'
import { countsOf } from './queues.ts'
import type { Counts } from './queues.ts'

export interface Spread { avg: number, median: number, min: number, max: number }

/** Everything in figures. */
export interface Overview {
  queues: number
  partitions: number
  namespaces: number
  tasks: number
  /** Pending, processing and completed are those of all groups together. */
  counts: Counts
  /** Of each group in each partition where it has something to read: age of the first such message, in whole seconds. */
  timeLag: Spread
  /** Of the same: how many messages. */
  offsetLag: Spread
  /** UTC with milliseconds. */
  at: string
}

/** Messages per second over the last five minutes. */
export interface Throughput { ingestedPerSecond: number, processedPerSecond: number }

interface OverviewRow {
  queues: number
  partitions: number
  namespaces: number
  tasks: number
  total: string
  pending: string
  processing: string
  completed: string
  dead_letter: string
  time_avg: number
  time_median: number
  time_min: number
  time_max: number
  offset_avg: number
  offset_median: number
  offset_min: number
  offset_max: number
  at: string
}

/** Count everything, now. Throws what Pool.call throws. */
export async function readOverview (pool: Pool): Promise<Overview> {
  const [row] = await pool.call<OverviewRow & Record<string, unknown>>((sql, schema) => sql`select * from ${schema}.overview_v1()`)
  // The cast holds: it is one row of totals.
  const { queues, partitions, namespaces, tasks, at, ...figures } = row as OverviewRow
  return {
    queues,
    partitions,
    namespaces,
    tasks,
    counts: countsOf(figures),
    timeLag: spread(figures.time_avg, figures.time_median, figures.time_min, figures.time_max),
    offsetLag: spread(figures.offset_avg, figures.offset_median, figures.offset_min, figures.offset_max),
    at
  }
}

/** What was pushed and acknowledged, from the metrics that all processes write down. */
export async function throughput (pool: Pool): Promise<Throughput> {
  const [row] = await pool.call<{ ingested: number, processed: number }>((sql, schema) => sql`select * from ${schema}.throughput_v1()`)
  return { ingestedPerSecond: hundredths(row?.ingested ?? 0), processedPerSecond: hundredths(row?.processed ?? 0) }
}

function spread (avg: number, median: number, min: number, max: number): Spread {
  return { avg: Math.round(avg), median: Math.round(median), min: Math.round(min), max: Math.round(max) }
}

function hundredths (value: number): number {
  return Math.round(value * 100) / 100
}
