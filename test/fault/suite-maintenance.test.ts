import t from 'tap'
import { until } from '../support.ts'
import { EXPECTATION } from './suite/clients.ts'
import { Cluster } from './suite/cluster.ts'
import { FILE_TIMEOUT_MS, scenario } from './suite/scenario.ts'
import type { World } from './suite/scenario.ts'

t.setTimeout(FILE_TIMEOUT_MS)
const cluster = await Cluster.start(t)
const LONGEST_MS = 60_000

t.test('push maintenance of two servers: what one switches both follow, over restarts of a server and of the database', async t => {
  await scenario(t, cluster, { servers: 2 }, async world => {
    const { t, cluster, servers, journal, untilBuffered } = world
    await servers.setMaintenance(0, true)
    await until(async () => (await servers.status(1)).maintenanceMode, LONGEST_MS)
    await untilAnswered(world)
    const stored = await messagesIn(world)
    await untilBuffered(200)

    journal.fault('SIGTERM in maintenance')
    t.equal(await servers.stop(1), 0)
    await servers.start(1)
    await untilBuffered(100)
    t.equal(await messagesIn(world), stored, 'nothing was stored after the restart of a server')
    journal.fault('database restarted in maintenance')
    await cluster.stop()
    await cluster.start()
    await untilBuffered(200)
    t.equal(await messagesIn(world), stored, 'nor after one of the database')
    journal.fault('server killed in maintenance, and started while the database is away')
    await cluster.stop()
    await servers.kill(1)
    await servers.start(1)
    await untilBuffered(200)
    await cluster.start()
    await until(async () => (await servers.status(1)).maintenanceMode, LONGEST_MS)
    await untilBuffered(200)
    t.equal(await messagesIn(world), stored, 'nor by a server that was started without the database')

    const kept = (await Promise.all([0, 1].map(async server => await servers.status(server))))
    t.ok(kept.every(({ bufferedMessages }) => bufferedMessages > 0), 'both hold messages')
    await servers.setMaintenance(1, false)
    await until(async () => !(await servers.status(0)).maintenanceMode, LONGEST_MS)
  })
})

/** How many messages of producers are stored; consumers and their transactions go on. */
async function messagesIn ({ cluster, database }: World): Promise<number> {
  const [row] = await cluster.run(database, `
    select sum(head)::int as n from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name <> all ('{${EXPECTATION.targets.join()}}')`)
  return Number(row?.n)
}

/** Waits until every producer has been answered by a push that it sent after now. */
async function untilAnswered ({ journal, servers }: World): Promise<void> {
  const from = performance.now()
  await until(() => Array.from({ length: servers.count }, (_, server) => server).every(server =>
    journal.pushes.filter(({ call }) => call.server === server && call.sentAt > from && call.endedAt < Infinity).length >= 8), LONGEST_MS)
}
