// What is answered while the database is gone for longer than the service tries again, and what has become of it.
import t from 'tap'
import { request, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { Cluster } from './suite/cluster.ts'
import { Journal } from './suite/journal.ts'
import type { Delivered } from './suite/journal.ts'
import { FILE_TIMEOUT_MS, scenario } from './suite/scenario.ts'
import { Servers } from './suite/servers.ts'

t.setTimeout(FILE_TIMEOUT_MS)
const cluster = await Cluster.start(t)
const LONGEST_MS = 60_000
// Queues that no client of the load knows.
const HELD = 'held'
const RESULTS = 'held results'

interface Place { cluster: Cluster, database: string, servers: Servers }

async function call (place: Place, path: string, body?: object): Promise<Answer> {
  return await request(`${place.servers.url(0)}/api/v1/${path}`, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) })
}

/** So many messages, each of a partition of its own and leased for longer than the test takes. */
async function leased (place: Place, count: number): Promise<Delivered[]> {
  // A queue that has to be made is a commit of its own.
  const items = [...Array.from({ length: count }, (_, i) => ({ queue: HELD, partition: `p${i}`, payload: i })), { queue: RESULTS, payload: 'the first' }]
  const { json: pushed } = await call(place, 'push', { items })
  if (pushed?.[0]?.status !== 'queued') throw new Error(`not stored: ${JSON.stringify(pushed)}`)
  const { json } = await call(place, `pop/queue/${HELD}?batch=${count}&partitions=${count}`)
  if (json.messages.length !== count) throw new Error(`${json.messages.length} of ${count} messages came`)
  return json.messages
}

function acknowledge (place: Place, { transactionId, partitionId, leaseId }: Delivered): Promise<Answer> {
  return call(place, 'ack', { transactionId, partitionId, leaseId })
}

function transact (place: Place, { transactionId, partitionId, leaseId }: Delivered): Promise<Answer> {
  return call(place, 'transaction', {
    operations: [{ type: 'ack', transactionId, partitionId, leaseId }, { type: 'push', items: [{ queue: RESULTS, payload: transactionId }] }]
  })
}

/** How many messages of the held queue are acknowledged, and how many were pushed by transactions. */
async function outcomes ({ cluster, database }: Place): Promise<{ acknowledged: number, results: number }> {
  const [row] = await cluster.run(database, `select
    (select count(*)::int from regent.cursors c join regent.partitions p on p.id = c.partition_id join regent.queues q on q.id = p.queue_id
      where q.name = '${HELD}' and c.committed > 0) as acknowledged,
    (select count(*)::int from regent.messages where queue = '${RESULTS}') as results`)
  return { acknowledged: Number(row?.acknowledged), results: Number(row?.results) }
}

t.test('a database that stays away: acknowledgements and transactions are 503 and change nothing, pops are empty, pushes are buffered', async t => {
  await scenario(t, cluster, { producers: 2 }, async world => {
    const { t, cluster, journal, untilBuffered } = world
    const messages = await leased(world, 2)
    const [first, second] = messages
    if (first === undefined || second === undefined) return
    const before = await outcomes(world)
    journal.fault('database away')
    await cluster.kill()
    await untilBuffered(1)
    const backAt = performance.now() + (world.isLong ? 120_000 : 15_000)
    do {
      const answers = await Promise.all([acknowledge(world, first), transact(world, second)])
      for (const { status, json, headers } of answers) {
        t.match({ status, json }, { status: 503, json: { success: false, code: 'RGT_DATABASE_AWAY', retryable: true } })
        t.match(headers.get('retry-after'), /^\d+$/)
      }
      const pops = await Promise.all(['', '?wait=true&timeout=500', '/partition/p0'].map(async rest => await call(world, `pop/queue/${HELD}${rest}`)))
      for (const { status, json } of pops) t.match({ status, messages: json?.messages ?? [] }, { status: /^20[04]$/, messages: [] })
    } while (performance.now() < backAt)
    await cluster.start()
    t.strictSame(await outcomes(world), before)
    await until(async () => (await acknowledge(world, first)).status === 200, LONGEST_MS)
    t.match((await transact(world, second)).json, { success: true }, 'the leases have outlasted it')
  })
})

t.test('commits of which nobody hears any more: their outcome is unknown, not "nothing was changed"', async t => {
  t.setTimeout(0)
  // No load: its acknowledgements would take these along, or keep them waiting.
  const database = await cluster.createDatabase()
  const servers = new Servers(t, { journal: new Journal(), databaseUrl: cluster.url(database), count: 1, env: {} })
  await servers.start(0)
  const place = { cluster, database, servers }
  const [first, second] = await leased(place, 2)
  if (first === undefined || second === undefined) return
  t.teardown(async () => { await cluster.heal() })
  await cluster.withholdAnswers(true)
  const answers = Promise.all([acknowledge(place, first), transact(place, second)])
  await until(async () => (await cluster.run(database, 'select from pg_stat_activity where wait_event = \'SyncRep\' and query ~ \'(ack|transaction)_v\'')).length === 2, LONGEST_MS)
  await cluster.kill()
  // The service tries an acknowledgement again for some seconds; what it then says is about all of its tries.
  for (const answer of await answers) t.match(answer, { status: 503, json: { code: 'RGT_OUTCOME_UNKNOWN', retryable: true } }, answer.text)
  await cluster.start()
  await cluster.withholdAnswers(false)
  t.strictSame(await outcomes(place), { acknowledged: 2, results: 2 }, 'they had happened')
  await until(async () => (await acknowledge(place, first)).json?.[0]?.success === true, LONGEST_MS)
  t.match((await transact(place, second)).json, { success: false })
  t.equal((await outcomes(place)).results, 2, 'its repetition is refused')
})

t.test('commits are durable and not answered, and then the database is killed', async t => {
  await scenario(t, cluster, {}, async ({ cluster, journal, untilBuffered }) => {
    journal.fault('answers to commits withheld')
    await cluster.withholdAnswers(true)
    await untilBuffered(1)
    journal.fault('database killed')
    await cluster.kill()
    await untilBuffered(100)
    await cluster.start()
    await cluster.withholdAnswers(false)
  })
})
