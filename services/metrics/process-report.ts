import type { ProcessFigures } from './metrics.ts'

/** What a scraper is told of one process. */
export interface ProcessReport {
  workerId: string
  figures: ProcessFigures
  /** Processor time since its start, in microseconds. */
  cpu: { user: number, system: number }
  rssBytes: number
}

/** The report of this process. */
export function reportOf (workerId: string, figures: ProcessFigures): ProcessReport {
  return { workerId, figures, cpu: process.cpuUsage(), rssBytes: residentBytes() }
}

/** Resident memory of this process; 0 while it cannot be read, which takes a file. */
export function residentBytes (): number {
  try {
    return process.memoryUsage.rss()
  } catch {
    return 0
  }
}
