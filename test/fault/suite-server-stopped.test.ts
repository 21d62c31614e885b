// SIGTERM to the server in each state a push can be in: every request is answered, what is buffered stays for the next start.
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { readyUrl } from '../fixtures/server-process.ts'
import { until } from '../support.ts'
import { Cluster } from './suite/cluster.ts'
import { FILE_TIMEOUT_MS, scenario } from './suite/scenario.ts'
import type { World } from './suite/scenario.ts'

t.setTimeout(FILE_TIMEOUT_MS)
const cluster = await Cluster.start(t)
const LONGEST_MS = 60_000

async function restart ({ t, servers, journal }: World, state: string): Promise<void> {
  journal.fault(`SIGTERM ${state}`)
  t.equal(await servers.stop(0), 0, 'it ends in order')
  await servers.start(0)
}

t.test('in the middle of pushes, also right after they were committed', async t => {
  // Long enough to be known to have been read when the signal comes.
  await scenario(t, cluster, { env: { DB_CALL_TIMEOUT: '10000', DB_LOCK_TIMEOUT: '8000' } }, async world => {
    const { cluster, database, journal, untilServing } = world
    await until(() => journal.underWay('push') >= 2, LONGEST_MS)
    await restart(world, 'in mid-push')
    await untilServing(50)
    const unlock = await cluster.lock(database, 'regent.segments', 'share')
    await until(() => journal.waitingFor('push', 1000) >= 2, LONGEST_MS)
    const restarted = restart(world, 'with pushes waiting for a lock')
    await delay(200)
    await unlock()
    await restarted
  })
})

t.test('while pushes are buffered, in the middle of new files, and in the middle of the drain', async t => {
  await scenario(t, cluster, { env: { FILE_BUFFER_MAX_BATCH: '20', FILE_BUFFER_EVENTS_PER_FILE: '3' } }, async world => {
    const { cluster, servers, untilBuffered } = world
    await cluster.stop()
    await untilBuffered(300)
    await restart(world, 'while buffering')
    t.ok((await servers.status(0)).bufferedMessages >= 300, 'what is buffered is kept')
    await servers.nextFile(0)
    await restart(world, 'in mid-rotation')
    await untilBuffered(500)
    await cluster.start()
    const { bufferedMessages: all } = await servers.status(0)
    await until(async () => {
      const { bufferedMessages: left } = await servers.status(0)
      if (left === 0) throw new Error('it was drained before it could be stopped')
      return left < all
    }, LONGEST_MS)
    await restart(world, 'in mid-drain')
  })
})

t.test('while the database stands still', async t => {
  await scenario(t, cluster, {}, async world => {
    const { cluster, untilBuffered } = world
    cluster.freeze()
    await untilBuffered(100)
    const restarted = restart(world, 'with the database frozen')
    await delay(1000)
    cluster.thaw()
    await restarted
  })
})

t.test('two servers on one folder: the second says so and ends; the lock of a killed one is taken over', async t => {
  await scenario(t, cluster, {}, async ({ t, servers, journal }) => {
    const second = servers.spawn(servers.folder(0), 'second')
    // It ends; if it did not, it would come to serve.
    t.equal(await Promise.race([second.ended, readyUrl(second)]), 1)
    t.match(second.errors(), /The file buffer .+ is in use by the process with id \d+: stop it, or give each process a folder of its own/)
    journal.fault('server killed')
    await servers.kill(0)
    const third = servers.start(0)
    const fourth = servers.spawn(servers.folder(0), 'fourth')
    // Of two that come at once exactly one gets the folder; the scenario goes on with ours.
    await third.catch(async () => {
      fourth.process.kill('SIGTERM')
      await fourth.ended
      await servers.start(0)
    })
    fourth.process.kill('SIGTERM')
    await fourth.ended
  })
})
