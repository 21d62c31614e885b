// Faults of the database and of the servers at the same time, as the seed chooses them.
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { pick } from '../invariants/support.ts'
import { Cluster } from './suite/cluster.ts'
import { FILE_TIMEOUT_MS, scenario } from './suite/scenario.ts'
import type { World } from './suite/scenario.ts'

t.setTimeout(FILE_TIMEOUT_MS)
const cluster = await Cluster.start(t)
const ROUNDS = 3

type Fault = (world: World) => Promise<void>

const DATABASE: Record<string, Fault> = {
  'database killed': async ({ cluster, random }) => {
    await cluster.kill()
    await delay(random(3000))
    await cluster.start()
  },
  'database restarted': async ({ cluster }) => {
    await cluster.stop()
    await cluster.start()
  },
  'database frozen': async ({ cluster, random }) => {
    cluster.freeze()
    await delay(500 + random(4000))
    cluster.thaw()
  },
  'sessions terminated': async ({ cluster, database, random }) => {
    await cluster.storm(database, 2000, 5 + random(50))
  },
  'read-only': async ({ cluster, random }) => {
    await cluster.setReadOnly(true)
    await delay(random(2000))
    await cluster.setReadOnly(false)
  },
  'commits not answered': async ({ cluster, random }) => {
    await cluster.withholdAnswers(true)
    await delay(random(3000))
    if (random(2) === 0) {
      await cluster.kill()
      await cluster.start()
    }
    await cluster.withholdAnswers(false)
  },
  'partitions locked': async ({ cluster, database, random }) => {
    const unlock = await cluster.lock(database, 'regent.partitions', 'exclusive')
    await delay(random(3000))
    await unlock()
  }
}

const SERVER: Record<string, Fault> = {
  'server killed': async ({ servers, random }) => {
    const server = random(servers.count)
    await servers.kill(server)
    await servers.start(server)
  },
  SIGTERM: async ({ t, servers, random }) => {
    const server = random(servers.count)
    t.equal(await servers.stop(server), 0, 'it ends in order')
    await servers.start(server)
  },
  'server frozen and killed': async ({ servers, random }) => {
    const server = random(servers.count)
    servers.freeze(server)
    await delay(random(3000))
    await servers.kill(server)
    await servers.start(server)
  },
  'server left alone': async () => {}
}

t.test('two servers and their database, hurt at the same time', async t => {
  await scenario(t, cluster, { servers: 2, env: { FILE_BUFFER_EVENTS_PER_FILE: '10', FILE_BUFFER_MAX_BATCH: '50' } }, async world => {
    const { journal, random, untilServing } = world
    for (let round = 0; round < ROUNDS; round++) {
      const hurt = async (faults: Record<string, Fault>, delayMs: number): Promise<void> => {
        const [name, make] = pick(Object.entries(faults), random(1000))
        await delay(delayMs)
        journal.fault(name)
        await make(world)
      }
      await Promise.all([hurt(DATABASE, random(1000)), hurt(SERVER, random(3000))])
      // Not always, so that the next fault meets what is left of this one.
      if (random(3) > 0) await untilServing(100)
    }
  })
})
