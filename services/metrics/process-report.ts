import type { ProcessFigures } from './metrics.ts'
import { observedBy } from './observed.ts'
import type { Observed, Sources } from './observed.ts'

/** What a scraper is told of one process. */
export interface ProcessReport {
  workerId: string
  figures: ProcessFigures
  observed: Observed
  /** Processor time since its start, in microseconds. */
  cpu: { user: number, system: number }
  rssBytes: number
}

/** Where the report of a process comes from. */
export type ReportSources = Sources & { metrics: { figures: () => ProcessFigures } }

/** The report of this process. */
export function reportOf (workerId: string, sources: ReportSources): ProcessReport {
  return { workerId, figures: sources.metrics.figures(), observed: observedBy(sources), cpu: process.cpuUsage(), rssBytes: residentBytes() }
}

/** Resident memory of this process; 0 while it cannot be read, which takes a file. */
export function residentBytes (): number {
  try {
    return process.memoryUsage.rss()
  } catch {
    return 0
  }
}
