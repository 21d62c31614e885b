import type { ErrorCode } from '../errors.ts'
import type { BufferFigures, BufferRecord } from '../failover/buffered-pushes.ts'

/** What a process says to the one that keeps the file buffer for it. */
export type ToKeeper =
  | { kind: 'buffer:join' }
  | { kind: 'buffer:append', id: number, record: BufferRecord }
  /** The answer to `hold`. */
  | { kind: 'buffer:held', id: number }
  /** The database cannot be used from here. */
  | { kind: 'buffer:away' }

/** What it is told. */
export type FromKeeper =
  | { kind: 'buffer:joined', maxPayloadBytes: number, queues: string[], figures: BufferFigures }
  | { kind: 'buffer:appended', id: number, error?: { code: ErrorCode, message: string } }
  /** These queues have messages in the buffer from now on; to be answered, as a push is answered only when everybody knows. */
  | { kind: 'buffer:hold', id: number, queues: string[] }
  /** These have none any more. */
  | { kind: 'buffer:released', queues: string[], figures: BufferFigures }
  | { kind: 'buffer:figures', figures: BufferFigures }
  | { kind: 'buffer:regained' }
  | { kind: 'buffer:allowed', messages: number }

/** Whether a message between processes is one of these. */
export function isAboutBuffer (message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'kind' in message && typeof message.kind === 'string' && message.kind.startsWith('buffer:')
}
