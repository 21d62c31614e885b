import type { ProcessReport } from '../metrics/process-report.ts'
import type { LogLevel } from '../logging/levels.ts'
import type { RegentOptions, ServerOptions } from '../options.ts'

/** What one of several workers is started with. */
export interface WorkerStart {
  /** Counted from 1; a worker that replaces another has its number. */
  number: number
  server: ServerOptions
  regent: Partial<RegentOptions>
  /** Whether the main process has a file buffer. */
  hasBuffer: boolean
  mainSocket: string
}

/** From the main process to a worker, besides what concerns the file buffer. */
export type ToWorker =
  | { kind: 'start', start: WorkerStart }
  | { kind: 'stop' }
  | { kind: 'report', id: number }
  | { kind: 'log-level', level: LogLevel }

/** From a worker to the main process. */
export type FromWorker =
  | { kind: 'hello' }
  | { kind: 'listening', port: number }
  | { kind: 'reported', id: number, report: ProcessReport }
  /** It cannot start; the message is for the operator. */
  | { kind: 'failed', message: string }
