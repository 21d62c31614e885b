import type { Pool } from '../database/pool.ts'

export interface ExtendedLease {
  outcome: 'extended' | 'expired' | 'unknown'
  /** The earliest end among its partitions, UTC with milliseconds; null unless extended. */
  expiresAt: string | null
}

/** Extend a lease on every partition it still holds to at least `seconds` from now; never shortens it. */
export async function extendLease (pool: Pool, leaseId: string, seconds: number): Promise<ExtendedLease> {
  const [row] = await pool.call<{ outcome: ExtendedLease['outcome'], expires_at: string | null }>((sql, schema) => sql`
    select * from ${schema}.extend_v1(${leaseId}::uuid, ${seconds}::int)`)
  return { outcome: row?.outcome ?? 'unknown', expiresAt: row?.expires_at ?? null }
}
