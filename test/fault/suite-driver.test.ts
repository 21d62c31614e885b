import t from 'tap'
import { Pool } from '../../services/database/pool.ts'
import { silent } from '../fixtures/embedded-postgres.ts'
import { createDatabase, until } from '../support.ts'

// What the driver must be guarded against: it goes on counting rows where a statement before broke off.
const BROKEN_OFF = {
  'an error behind its first rows': 'select 1 / (3 - i) as n from generate_series(1, 5) as i',
  'the end of its backend behind its first rows': `
    select repeat('x', 20000), case when i = 3 then pg_terminate_backend(pg_backend_pid()) end from generate_series(1, 5) as i`
}

for (const [what, text] of Object.entries(BROKEN_OFF)) {
  t.test(`a statement that follows ${what} on the same connection gets its own rows`, async t => {
    const pool = new Pool({
      url: await createDatabase(t), schema: 'regent', applicationName: 'driver', connectTimeoutMs: 5000, statementTimeoutMs: 20_000, lockTimeoutMs: 5000, poolSize: 1, callTimeoutMs: 30_000, log: silent
    })
    t.teardown(async () => { await pool.close() })
    await t.rejects(pool.call(sql => sql.unsafe(text)))
    let rows: { n: number }[] = []
    // The first after the end of a backend may still find its connection.
    await until(async () => {
      rows = await pool.call<{ n: number }>(sql => sql`select n from generate_series(1, 2) as n`).catch(() => [])
      return rows.length > 0
    })
    t.strictSame(rows.map(row => row.n), [1, 2])
    t.equal(rows.length, 2)
    t.strictSame(rows[0], { n: 1 })
  })
}
