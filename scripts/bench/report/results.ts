import type { BenchOptions } from '../arguments.ts'
import type { Machine } from '../machine.ts'
import type { Measurement } from '../measure.ts'
import { spreadOf } from '../statistics.ts'
import type { Percentiles, Spread } from '../statistics.ts'
import type { Section } from '../workloads/context.ts'

/** A measurement as it is kept: which statements were run, and when, is for profiles. */
export type Repetition = Omit<Measurement, 'statements' | 'beganAtUs' | 'endedAtUs'>

/** All repetitions of a workload with one number of processes. */
export interface Series {
  name: string
  title: string
  section: Section
  connections: number
  compareWith: string[]
  workers: number
  repetitions: Repetition[]
  /** Why a repetition came to nothing. */
  failures: string[]
}

export interface Report {
  machine: Machine
  postgres: { version: string, isEmbedded: boolean, settings: Record<string, string> }
  options: Pick<BenchOptions, 'seconds' | 'warmUpSeconds' | 'repeat' | 'workers'>
  series: Series[]
}

/** The series of that name with the number of processes that everything was run with; null: it was not measured. */
export function find ({ series, options }: Report, name: string): Series | null {
  const workers = options.workers[0] ?? 1
  return series.find(one => one.name === name && one.workers === workers && one.repetitions.length > 0) ?? null
}

export function sectionOf ({ series, options }: Report, ...sections: Section[]): Series[] {
  return series.filter(one => sections.includes(one.section) && one.workers === (options.workers[0] ?? 1) && one.repetitions.length > 0)
}

export function ratePerSecond ({ repetitions }: Series): Spread | null {
  return spreadOf(repetitions.map(({ messages, seconds }) => messages / seconds))
}

/** Null where the load is not made of requests. */
export function requestsPerSecond ({ repetitions }: Series): number | null {
  return median(repetitions.map(({ requests, seconds }) => requests === 0 ? null : requests / seconds))
}

export function latency ({ repetitions }: Series, percentile: keyof Percentiles): number | null {
  return median(repetitions.map(one => one.latency?.[percentile] ?? null))
}

/** A figure of its own that some loads find out. */
export function figure ({ repetitions }: Series, name: string): number | null {
  return median(repetitions.map(({ figures }) => figures[name] ?? null))
}

type CpuOf = 'serverCpuSeconds' | 'postgresCpuSeconds' | 'generatorCpuSeconds'

/** Share of one core, from 0 on. */
export function coreShare ({ repetitions }: Series, of: CpuOf): number | null {
  return median(repetitions.map(one => one[of] === null ? null : one[of] / one.wallSeconds))
}

/** Of the CPU time of PostgreSQL and the service together. */
export function postgresShare ({ repetitions }: Series): number | null {
  return median(repetitions.map(({ serverCpuSeconds: server, postgresCpuSeconds: postgres }) => server === null || postgres === null ? null : postgres / (server + postgres)))
}

export function microsecondsPerMessage ({ repetitions }: Series, of: CpuOf): number | null {
  return median(repetitions.map(one => one[of] === null ? null : one[of] * 1e6 / one.messages))
}

export function microsecondsPerRequest ({ repetitions }: Series, of: CpuOf): number | null {
  return median(repetitions.map(one => one[of] === null || one.requests === 0 ? null : one[of] * 1e6 / one.requests))
}

export function perMessage ({ repetitions }: Series, of: 'walBytes' | 'commits' | 'diskBytes'): number | null {
  return median(repetitions.map(one => one[of] / one.messages))
}

export function memoryBytes ({ repetitions }: Series, of: 'serverRssBytes' | 'postgresPssBytes'): number | null {
  return median(repetitions.map(one => one[of]))
}

/** How many times the messages per second of another series; medians of both. */
export function timesThatOf (one: Series | null, other: Series | null): number | null {
  const [own, others] = [one, other].map(series => series === null ? null : ratePerSecond(series))
  return own == null || others == null || others.median === 0 ? null : own.median / others.median
}

/** What went wrong, by workload; of errors with a stack the first line. */
export function faultsOf ({ series }: Report): string[] {
  return series.flatMap(({ name, workers, repetitions, failures }) =>
    [...failures, ...repetitions.flatMap(({ faults }) => faults)].map(fault => `${name}${workers === 1 ? '' : `, ${workers} processes`}: ${fault.split('\n')[0]}`))
}

function median (values: (number | null)[]): number | null {
  return spreadOf(values.filter(value => value !== null))?.median ?? null
}
