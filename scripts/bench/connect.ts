import postgres from 'postgres'
import type { Sql } from 'postgres'
import { poolSettings } from '../../services/database/connection.ts'

const HOUR_MS = 3_600_000

/** A driver of the bench's own, set up as the service sets up its pool. */
export function connectTo (url: string, max: number): Sql {
  return postgres({
    ...poolSettings({
      url,
      schema: 'regent',
      applicationName: 'regent bench',
      connectTimeoutMs: 10_000,
      statementTimeoutMs: HOUR_MS,
      lockTimeoutMs: HOUR_MS
    }),
    max
  })
}
