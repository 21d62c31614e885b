import { randomInt } from 'node:crypto'
import type { Test } from 'tap'
import { seededRandom } from '../../invariants/support.ts'
import { connect, until } from '../../support.ts'
import { check } from './checker.ts'
import { Clients, EXPECTATION } from './clients.ts'
import type { Cluster } from './cluster.ts'
import { Journal } from './journal.ts'
import type { Stored } from './journal.ts'
import { Servers } from './servers.ts'

/** Everything a fault can be made with. */
export interface World {
  t: Test
  cluster: Cluster
  database: string
  servers: Servers
  journal: Journal
  /** Chooses by the seed. */
  random: (below: number) => number
  /** Whether this is the long run. */
  isLong: boolean
  /** Waits until so many more messages than now have been stored and delivered. */
  untilServing: (messages?: number) => Promise<void>
  /** Waits until so many more messages than now have been buffered. */
  untilBuffered: (messages: number) => Promise<void>
}

export interface ScenarioOptions {
  servers?: number
  env?: Record<string, string>
  producers?: number
  /** The folder of the build that the servers begin with, unless it is this one. */
  build?: string
}

// The long run: every fault again and again for so many seconds, and none of tap's deadlines (--timeout=0). Else once.
const SECONDS = Number(process.env.REGENT_FAULT_SECONDS ?? 0)
/** For a whole file, whatever it hangs on: every wait has a deadline of its own. */
export const FILE_TIMEOUT_MS = 600_000 + 10 * SECONDS * 1000
// Makes the same choices again, of the clients and of mixed faults; their timing is the machine's.
const SEED = process.env.REGENT_FAULT_SEED
const LONGEST_MS = 90_000

/**
 * Clients work, a fault is made, everything recovers and is consumed; then the books are compared. `hurt` makes the fault
 * and ends it.
 */
export async function scenario (t: Test, cluster: Cluster, { servers: count = 1, env = {}, producers = 4, build }: ScenarioOptions, hurt: (world: World) => Promise<void>): Promise<void> {
  t.setTimeout(0)
  const seed = SEED === undefined ? randomInt(1e9) : Number(SEED)
  const database = await cluster.createDatabase()
  const journal = new Journal()
  const servers = new Servers(t, { journal, databaseUrl: cluster.url(database), count, env, build })
  const clients = new Clients(servers, journal, seed)
  const untilServing = async (messages = 200): Promise<void> => {
    const [pushed, delivered] = [journal.pushed('queued'), journal.delivered]
    await until(() => journal.pushed('queued') >= pushed + messages && journal.delivered >= delivered + messages, LONGEST_MS)
      .catch((error: unknown) => { throw new Error(`it does not serve (again): ${journal.summary()}`, { cause: error }) })
  }
  const untilBuffered = async (messages: number): Promise<void> => {
    const buffered = journal.pushed('buffered')
    await until(() => journal.pushed('buffered') >= buffered + messages, LONGEST_MS)
      .catch((error: unknown) => { throw new Error(`it does not buffer: ${journal.summary()}`, { cause: error }) })
  }
  const world = { t, cluster, database, servers, journal, random: seededRandom(seed + 5000), isLong: SECONDS > 0, untilServing, untilBuffered }
  try {
    for (let server = 0; server < count; server++) await servers.start(server)
    await clients.start(producers)
    await untilServing()
    const endAt = performance.now() + SECONDS * 1000
    do {
      await hurt(world)
      await untilServing()
    } while (performance.now() < endAt)
    await clients.stopProducing()
    await servers.untilDrained()
    await untilConsumed(world)
    await clients.stop()
    const faults = check(journal, await readStored(world), EXPECTATION)
    t.strictSame(faults, [], 'what clients were told is what happened')
    if (faults.length > 0) tellLogs(servers)
    t.strictSame([...await cluster.run(database, 'select * from regent.dead_letters')], [], 'nothing was given up on')
    t.strictSame(servers.quarantined(), [], 'nothing was set aside')
    for (let server = 0; server < count; server++) t.equal(await servers.stop(server), 0, 'it ends in order')
  } catch (error) {
    // Before anything that ends the faults can fail as well.
    process.stderr.write(`${t.name}: ${String(error)}\n`)
    tellLogs(servers)
    throw error
  } finally {
    process.stderr.write(`${t.name}: seed ${seed}; ${journal.summary()}\n`)
    // Whoever still asks is refused from here on.
    void clients.stop()
    await cluster.heal()
  }
}

/** The last words of the servers, for whoever looks for the cause. */
function tellLogs (servers: Servers): void {
  for (let server = 0; server < servers.count; server++) {
    const lines = servers.output(server).split('\n')
    const errors = lines.filter(line => /"level":[56]0/.test(line))
    process.stderr.write(`server ${server}:\n${[...errors.slice(-20), ...lines.slice(-20)].join('\n')}\n`)
  }
}

/** Waits until every group has everything behind it. */
async function untilConsumed ({ cluster, database, t }: World): Promise<void> {
  const sql = connect(t, cluster.url(database), 1)
  const groups = Object.entries(EXPECTATION.groups).flatMap(([queue, names]) => names.map(group => [queue, group]))
  await until(async () => {
    const [row] = await sql<{ open: number }[]>`
      select count(*)::int as open
        from json_array_elements(${JSON.stringify(groups)}::text::json) as e join regent.queues q on q.name = e->>0
        join regent.partitions p on p.queue_id = q.id
        left join regent.groups g on g.queue_id = q.id and g.name = e->>1
        left join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
        where coalesce(c.committed, 0) < p.head`
    return row?.open === 0
  }, LONGEST_MS).catch((error: unknown) => { throw new Error('not everything was consumed', { cause: error }) })
}

async function readStored ({ cluster, database }: World): Promise<Stored[]> {
  const rows = await cluster.run(database, `
    select queue, partition, position::float8, id, transaction_id as "transactionId", data::json
      from regent.messages where queue in (${Object.keys(EXPECTATION.groups).map(queue => `'${queue}'`).join()}) order by partition_id, position`)
  // The columns are those of Stored.
  return [...rows] as unknown as Stored[]
}
