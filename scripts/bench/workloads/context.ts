import type { BenchOptions } from '../arguments.ts'
import type { Generator } from '../child.ts'
import type { BenchDatabase } from '../database.ts'
import type { Measurement } from '../measure.ts'

export interface BenchContext {
  options: BenchOptions
  database: BenchDatabase
  /** The service under test. */
  serverUrl: string
  serverPid: number
  /** A fresh one per workload. */
  generator: Generator
}

export interface Workload {
  name: string
  title: string
  connections: number
  /** The plain SQL workload that does the same. */
  floor?: string
  run: (context: BenchContext) => Promise<Measurement>
}
