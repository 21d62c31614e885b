import { count, described, integer, number, object, text, time, timeParameter } from './shared.ts'
import type { Schema } from './shared.ts'

/** The parameters of a range of time. @param length how long it is when its beginning is left out, in words */
export function rangeParameters (length: string): Record<'from' | 'to', Schema> {
  return {
    from: timeParameter(`Beginning of the range, not after its end; without it, ${length} before that.`),
    to: timeParameter('End of the range; now without it.')
  }
}

/** What a series says about itself. */
export const SERIES = {
  timeRange: object({ from: time, to: time }),
  bucketMinutes: described(count, 'How wide a bucket is; what is old is there by the hour only')
}

/** A process that wrote something in the last minutes. */
export const RECENT_WORKER = {
  hostname: text,
  workerId: integer,
  avgEventLoopLagMs: number,
  maxEventLoopLagMs: number,
  freeSlots: described(number, 'Idle connections to the database'),
  dbConnections: number,
  jobQueueSize: described(number, 'Calls that wait for one'),
  messagesProcessed: count
}
