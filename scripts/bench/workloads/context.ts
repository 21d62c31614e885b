import type { BenchDatabase } from '../cluster.ts'
import type { Generator, HttpServer } from '../child.ts'
import type { Measurement } from '../measure.ts'

/** What a workload gets for one repetition. Whatever is started through it is stopped afterwards. */
export interface BenchContext {
  seconds: number
  /** 0: none. */
  warmUpSeconds: number
  /** Empty, and of this repetition alone. */
  database: BenchDatabase
  generator: Generator
  countsStatements: boolean
  /** Processes of the service. */
  workers: number
  /** The service under test, with further environment variables. */
  startService (env?: Record<string, string>): Promise<HttpServer>
  /** Another server to compare with: a script of this folder that prints its URL. */
  startServer (script: string): Promise<HttpServer>
  /** A further load generator beside the one that is measured. */
  startGenerator (): Generator
}

export type Section = 'push' | 'consume' | 'latency' | 'stay' | 'channels' | 'floor' | 'peer'

export interface Workload {
  name: string
  title: string
  section: Section
  connections: number
  /** Names of floors and peers that do the same. */
  compareWith?: string[]
  /** Needs the statements that PostgreSQL ran. */
  countsStatements?: boolean
  /** Is measured again with more processes of the service. */
  isScaled?: boolean
  /** Takes minutes: only when asked for, and once. */
  isLong?: boolean
  run: (context: BenchContext) => Promise<Measurement>
}
