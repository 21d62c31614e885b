import t from 'tap'
import type postgres from 'postgres'
import { connect, startService } from '../support.ts'

const FEW = 20
const MANY = 20_000
const LAGGING = 10
const ROUNDS = 5

/** Pages a statement touches, everything inside its functions included. The middle one of several: the first also load catalogues. */
async function pages (sql: postgres.Sql, statement: string): Promise<number> {
  const all: number[] = []
  for (let i = 0; i < ROUNDS; i++) {
    const [row] = await sql.unsafe(`explain (analyze, buffers, format json) ${statement}`)
    const plan = row?.['QUERY PLAN'][0].Plan
    all.push(plan['Shared Hit Blocks'] + plan['Shared Read Blocks'])
  }
  return all.sort((a, b) => a - b)[ROUNDS >> 1] ?? NaN
}

// Counted in pages, not in seconds.
t.test(`lag in ${LAGGING} of ${MANY} partitions costs what it costs in ${LAGGING} of ${FEW}`, async t => {
  const costs: Record<string, Record<string, number>> = {}
  for (const [size, count] of Object.entries({ few: FEW, many: MANY })) {
    const service = await startService(t, { safetyNetMs: 0 })
    const sql = connect(t, service.databaseUrl, 1)
    await service.push(Array.from({ length: count }, (_, i) => ({ queue: 'q', partition: `p${i}`, payload: i })))
    // A group that begins now has all of them drained, and one that has been given a message is called Stable.
    for (let seeded = false; !seeded;) {
      await service.pop('q?consumerGroup=g&subscriptionMode=new')
      const [row] = await sql`select seeded_to is null as seeded from regent.groups`
      seeded = row?.seeded
    }
    const late = Array.from({ length: LAGGING }, (_, i) => ({ queue: 'q', partition: `p${Math.floor(i * count / LAGGING)}`, payload: i }))
    await service.push(late)
    await service.pop(`q?consumerGroup=g&batch=${LAGGING}&partitions=${LAGGING}&autoAck=true`)
    await service.push(late)
    await sql`vacuum analyze`

    const { json: [group] } = await service.call('GET', '/api/v1/consumer-groups')
    t.match(group, { members: count, partitionsWithLag: LAGGING, totalLag: LAGGING, state: 'Stable' })
    t.equal((await service.call('GET', '/api/v1/consumer-groups/lagging?minLagSeconds=-1')).json.length, LAGGING)
    costs[size] = {
      'the lag of a group': await pages(sql, 'select l.* from regent.groups g, regent.lagging_partitions(g.id) l'),
      'the list of lagging partitions': await pages(sql, 'select * from regent.lagging_v1(-1, 1000, 0)'),
      'the list of groups': await pages(sql, 'select * from regent.consumer_groups_v1(0, 0, 10000)')
    }
    await service.close()
  }
  for (const [what, few] of Object.entries(costs.few ?? {})) {
    const many = costs.many?.[what] ?? NaN
    t.comment(`${what}: ${few} pages with ${FEW} partitions, ${many} with ${MANY}`)
    // members is a count of index entries, a few hundred to the page.
    const counted = what === 'the list of groups' ? MANY / 100 : 0
    t.ok(many <= few * 2 + 10 + counted, `${what}: ${many} pages against ${few}`)
  }
})
