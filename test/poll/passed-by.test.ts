// A transaction held open elsewhere: every claim and acknowledgement leaves an index entry that nobody may remove, and looks
// are not to read them all. What appears among them late is found nevertheless.
import t from 'tap'
import type { Test } from 'tap'
import { hold } from '../invariants/support.ts'
import { connect, createDatabase, startService } from '../support.ts'
import type { Service } from '../support.ts'
import { payloads, poll, untilParked } from './parked.ts'

const DEAD_ENTRIES = 30_000

type Sql = ReturnType<typeof connect>

/** A queue with two partitions that are read, and very many dead entries before what may become available there. */
async function withDeadEntries (t: Test): Promise<{ service: Service, sql: Sql }> {
  const service = await startService(t, { databaseUrl: await createDatabase(t), safetyNetMs: 0 })
  const sql = connect(t, service.databaseUrl)
  await service.push(['a', 'b'].map(partition => ({ queue: 'q', partition, payload: 'read' })))
  await service.call('GET', '/api/v1/pop/queue/q?batch=10&partitions=2&autoAck=true')
  await sql`insert into regent.cursors (partition_id, group_id, available_at)
    select 1000000 + i, (select id from regent.groups), clock_timestamp() - interval '2 hours' from generate_series(1, ${DEAD_ENTRIES}) as i`
  const held = await hold(t, sql)
  await held.sql`set transaction isolation level repeatable read`
  await held.sql`select count(*) from regent.cursors`
  await sql`delete from regent.cursors where available_at < 'infinity'`
  return { service, sql }
}

/** As a transaction would that took an hour to commit: nobody is told. */
async function appearLate (sql: Sql, partition: string): Promise<void> {
  await sql`update regent.cursors set available_at = clock_timestamp() - interval '1 hour'
    where partition_id = (select id from regent.partitions where name = ${partition})`
}

t.test('a look can leave out what has been available for longer, and says up to when nothing was', async t => {
  const { sql } = await withDeadEntries(t)
  const look = async (from: string | null, isWhole: boolean): Promise<Record<string, any>> => {
    const [row] = await sql`
      explain (analyze, buffers, format json) select * from regent.pop_v2(array['q'], array[null], array[null], array[null], array['__QUEUE_MODE__'],
        array['all'], array[null], array[0], array[1], array[1], array[1], array[true], array[lpad('1', 18, '0')], 1000000, array[${from}::text], array[${isWhole}::boolean])`
    const { Plan: plan } = row?.['QUERY PLAN'][0]
    return { pages: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], rows: plan['Actual Rows'] }
  }
  const from = new Date(Date.now() - 1000).toISOString()
  await look(from, false)
  const bounded = await look(from, false)
  const whole = await look(null, false)
  t.ok(bounded.pages < 100, `${bounded.pages} pages from a second ago`)
  t.ok(whole.pages > 10 * bounded.pages, `${whole.pages} pages from the beginning: there is something to leave out`)

  await appearLate(sql, 'b')
  await sql`update regent.cursors set committed = 0 where available_at < 'infinity'`
  t.equal((await look(from, false)).rows, 1, 'what is older is left out')
  t.equal((await look(from, true)).rows, 2, 'unless somebody would be left without messages')
  const [end] = await sql`
    select passed::timestamptz <= clock_timestamp() - interval '200 ms' as late, passed::timestamptz > clock_timestamp() - interval '1 minute' as known
      from regent.pop_v2(array['q'], array[null], array[null], array[null], array['__QUEUE_MODE__'],
        array['all'], array[null], array[0], array[1], array[1], array[1], array[true], array[lpad('1', 18, '0')], 1000000, array[null], array[true])`
  t.match(end, { late: true, known: true })
})

t.test('what a look has found late and left to others is not passed by', async t => {
  const { service, sql } = await withDeadEntries(t)
  await service.push(['a', 'b', 'c'].map(partition => ({ queue: 'q', partition, payload: 'more' })))
  for (const partition of ['b', 'c']) await appearLate(sql, partition)
  const rows = await sql`
    select request, passed::timestamptz < clock_timestamp() - interval '50 minutes' as early
      from regent.pop_v2(array['q'], array[null], array[null], array[null], array['__QUEUE_MODE__'], array['all'], array[null], array[0],
        array[2], array[1, 1], array[1, 1], array[true, true], array[lpad('1', 18, '0'), lpad('2', 18, '0')], 1000000,
        array[(clock_timestamp() - interval '1 minute')::text], array[true])`
  t.same(rows.map(({ request, early }) => [request, early]), [[1, null], [2, null], [null, true]])
})

t.test('a pop that does not wait finds what has appeared late', async t => {
  const { service, sql } = await withDeadEntries(t)
  await service.push([{ queue: 'q', partition: 'b', payload: 'late' }])
  await sql`update regent.cursors set available_at = 'infinity'`
  const pop = async (): Promise<unknown[]> => payloads(await service.call('GET', '/api/v1/pop/queue/q'))
  t.same(await pop(), [], 'out of sight')
  await appearLate(sql, 'b')
  t.same(await pop(), ['late'])
})

t.test('pops that wait get what has appeared late, though nobody has said that it is there', async t => {
  const { service, sql } = await withDeadEntries(t)
  await service.push([{ queue: 'q', partition: 'b', payload: 'late' }])
  await sql`update regent.cursors set available_at = 'infinity'`
  const waiting = [poll(service, 'q', 60_000), poll(service, 'q', 60_000)]
  await untilParked(service, 2)
  await appearLate(sql, 'b')
  // Wakes both; the look that follows need not find the other.
  await service.push([{ queue: 'q', partition: 'a', payload: 'new' }])
  const answers = await Promise.all(waiting.map(async ({ answer }) => await answer))
  t.same(answers.flatMap(payloads).sort(), ['late', 'new'])
})
