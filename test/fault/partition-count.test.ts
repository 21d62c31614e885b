import { randomBytes } from 'node:crypto'
import t from 'tap'
import { connect, startService } from '../support.ts'

const FEW = 20
const MANY = 20_000
const ROUNDS = 9

type Sql = ReturnType<typeof connect>

/** Pages a statement touches, everything inside its functions included. It is carried out. */
async function pages (sql: Sql, statement: string): Promise<number> {
  const [row] = await sql.unsafe(`explain (analyze, buffers, format json) ${statement}`)
  const plan = row?.['QUERY PLAN'][0].Plan
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
}

/** The middle one of several measurements: the first ones also load catalogues. */
async function middle (measure: () => Promise<number>): Promise<number> {
  const all: number[] = []
  for (let i = 0; i < ROUNDS; i++) all.push(await measure())
  return all.sort((a, b) => a - b)[ROUNDS >> 1] ?? NaN
}

function pop (queue: string): string {
  return `select * from regent.pop_v2(array['${queue}'], array[null], array[null], array[null], array['g'], array['all'], array[null],
    array[0], array[1], array[1], array[1], array[false], array['${randomBytes(9).toString('hex')}'], 1000000, array[null], array[true])`
}

async function push (sql: Sql, queue: string): Promise<number> {
  const [partition] = await sql`
    select p.id, p.head from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = ${queue} order by random() limit 1`
  return await pages(sql, `select * from regent.push_v2('{}', '{}', array[${partition?.id}], array[0], array[${partition?.head}], array[3600], array[1], array[1],
    array[${Math.floor(Math.random() * 1e9)}], '{"transactionId":"${randomBytes(9).toString('hex')}","data":1}')`)
}

async function ack (sql: Sql, queue: string): Promise<number> {
  const [claim] = await sql.unsafe(pop(queue))
  return await pages(sql, `select * from regent.ack_v1(array[${claim?.partition_id}], array['g'], array['${claim?.lease}'], array[1],
    array[${claim?.first}], array[${claim?.last}], array[0], array[]::bigint[], array[]::text[], '')`)
}

// Counted in pages, not in seconds. What may grow is the depth of an index, by a page or two for each look into one.
t.test(`a queue with ${MANY} partitions costs what one with ${FEW} costs`, async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  const counts = { few: FEW, many: MANY }
  for (const [queue, count] of Object.entries(counts)) {
    await service.push(Array.from({ length: count }, (_, i) => ({ queue, partition: `p${i}`, payload: i })))
    // Makes the group; on the large queue that takes as many steps as it needs.
    await service.pop(`${queue}?consumerGroup=g&wait=true&timeout=20000&autoAck=true`)
  }
  const sql = connect(t, service.databaseUrl, 1)
  let isSeeded = false
  while (!isSeeded) {
    await service.pop('many?consumerGroup=g&autoAck=true')
    const [row] = await sql`select count(*)::int as n from regent.groups where seeded_to is not null`
    isSeeded = row?.n === 0
  }
  await sql`vacuum analyze`

  for (const [what, measure] of [
    ['a pop', async (queue: string) => await pages(sql, pop(queue))],
    ['a push', async (queue: string) => await push(sql, queue)],
    ['an acknowledgement', async (queue: string) => await ack(sql, queue)]
  ] as const) {
    // Of the small queue's partitions the two measurements that claim must leave some.
    const few = await middle(async () => await measure('few'))
    const many = await middle(async () => await measure('many'))
    t.comment(`${what}: ${few} pages with ${FEW} partitions, ${many} with ${MANY}`)
    t.ok(many <= few * 2 + 10, `${what}: ${many} pages against ${few}`)
  }

  await t.test('also after most of its partitions have been consumed', async t => {
    for (let taken = 0; taken < MANY - 2000;) {
      const { json } = await service.pop('many?consumerGroup=g&batch=1000&partitions=1000&autoAck=true')
      taken += json.messages.length
      if (json.messages.length === 0) break
    }
    const few = await middle(async () => await push(sql, 'few').then(async () => await pages(sql, pop('few'))))
    const unclean = await middle(async () => await pages(sql, pop('many')))
    t.comment(`a pop: ${few} pages with ${FEW} partitions, ${unclean} with ${MANY}`)
    // Entries of the past stay in the index until the next vacuum: a page for every hundred and more of them.
    t.ok(unclean <= few + MANY / 100, `a pop: ${unclean} pages against ${few}`)
    await sql`vacuum regent.cursors`
    const clean = await middle(async () => await pages(sql, pop('many')))
    t.ok(clean <= few * 2 + 10, `a pop after a vacuum: ${clean} pages against ${few}`)
  })
})
