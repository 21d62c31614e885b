import type { Sql } from 'postgres'

export interface Statement {
  query: string
  /** Sent by a client, rather than run inside a function. */
  isTop: boolean
  calls: number
  rows: number
  totalMs: number
  /** Pages read from disk or the system's cache, and time spent with that where it is measured. */
  pagesRead: number
  readMs: number
  walBytes: number
}

/** Begin to count anew, in this database. */
export async function resetStatements (sql: Sql): Promise<void> {
  await sql`select pg_stat_statements_reset(0, (select oid from pg_database where datname = current_database()), 0)`
}

/** What was run in this database since, the costliest first; without what was asked here. */
export async function readStatements (sql: Sql): Promise<Statement[]> {
  // The columns of the read time were renamed in PostgreSQL 17.
  const rows = await sql<{ query: string, toplevel: boolean, calls: number, rows: number, total: number, pages: number, wal: number, details: { shared_blk_read_time?: number, blk_read_time?: number } }[]>`
    select s.query, s.toplevel, s.calls::float8 as calls, s.rows::float8 as rows, s.total_exec_time as total,
      s.shared_blks_read::float8 as pages, s.wal_bytes::float8 as wal, to_jsonb(s) - 'query' as details
    from pg_stat_statements s
    where s.dbid = (select oid from pg_database where datname = current_database()) and s.query not like '%pg_stat_statements%'
    order by s.total_exec_time desc`
  return rows.map(({ query, toplevel, calls, rows: count, total, pages, wal, details }) => ({
    query,
    isTop: toplevel,
    calls,
    rows: count,
    totalMs: total,
    pagesRead: pages,
    readMs: details.shared_blk_read_time ?? details.blk_read_time ?? 0,
    walBytes: wal
  }))
}
