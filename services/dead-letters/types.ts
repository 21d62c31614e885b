import type { Pool } from '../database/pool.ts'
import type { Available } from '../queue/types.ts'
import type { StoredMessage } from './stored-message.ts'

/** Which dead letters are meant: those that fit all that is given; null is not asked for. */
export interface Selection {
  /** Numbers of dead letters, as decimal texts. */
  ids: readonly string[] | null
  queue: string | null
  partition: string | null
  group: string | null
}

/** A message that a consumer group has given up on. */
export interface DeadLetter extends StoredMessage {
  id: string
  partitionId: number
  position: number
  queue: string
  partition: string
  group: string
  error: string
  retryCount: number
  /** UTC with milliseconds. */
  createdAt: string
  failedAt: string
}

/** What putting messages back needs. */
export interface RedriveContext {
  pool: Pool
  /** Wakes parked pops. */
  announce: (events: Available[]) => void
}
