// kill -9 of the server in each state a push can be in.
import t from 'tap'
import { until } from '../support.ts'
import { Cluster } from './suite/cluster.ts'
import { FILE_TIMEOUT_MS, scenario } from './suite/scenario.ts'
import type { World } from './suite/scenario.ts'

t.setTimeout(FILE_TIMEOUT_MS)
const cluster = await Cluster.start(t)
const LONGEST_MS = 60_000

t.test('in the middle of pushes', async t => {
  await scenario(t, cluster, {}, async ({ servers, journal, untilServing }) => {
    for (let round = 0; round < 3; round++) {
      await until(() => journal.underWay('push') >= 2, LONGEST_MS)
      journal.fault('server killed in mid-push')
      await servers.kill(0)
      await servers.start(0)
      await untilServing(50)
    }
  })
})

t.test('between the commit and the reply', async t => {
  await scenario(t, cluster, {}, async world => {
    const { journal } = world
    const duplicates = journal.pushed('duplicate')
    await killBeforeReply(world, 'regent.segments', 'push_v')
    await killBeforeReply(world, 'regent.segments', 'transaction_v')
    await killBeforeReply(world, 'regent.cursors', 'ack_v')
    t.ok(journal.pushed('duplicate') > duplicates, 'pushes were repeated that had been stored')
  })
})

/** Lets a call of this kind wait in the database, stops the server, lets the call be committed, and kills the server. */
async function killBeforeReply ({ cluster, database, servers, journal, untilServing }: World, table: string, call: string): Promise<void> {
  let isCommitted = false
  await until(async () => {
    const unlock = await cluster.lock(database, table, 'share')
    const isWaiting = await until(async () => await cluster.busy(database, call, true) > 0, 1000).then(() => true, () => false)
    if (isWaiting) servers.freeze(0)
    // It may have been broken off by its deadline just before the server was stopped.
    isCommitted = isWaiting && await cluster.busy(database, call, true) > 0
    await unlock()
    if (isWaiting && !isCommitted) servers.thaw(0)
    return isCommitted
  }, LONGEST_MS)
  await until(async () => await cluster.busy(database, call) === 0, LONGEST_MS)
  journal.fault(`server killed after the commit of ${call}`)
  await servers.kill(0)
  await servers.start(0)
  await untilServing(50)
}

t.test('in the middle of a drain', async t => {
  await scenario(t, cluster, { env: { FILE_BUFFER_MAX_BATCH: '3' } }, async ({ t, cluster, database, servers, journal, untilBuffered }) => {
    await cluster.stop()
    await untilBuffered(600)
    await cluster.start()
    const { bufferedMessages: all } = await servers.status(0)
    await until(async () => {
      const { bufferedMessages: left } = await servers.status(0)
      if (left === 0) throw new Error('it was drained before it could be killed')
      return left < all - 50
    }, LONGEST_MS)
    journal.fault('server killed in mid-drain')
    await servers.kill(0)
    await servers.start(0)

    // A statement that was sent is carried out though nobody waits for it, so it is ended as well.
    const unlock = await cluster.lock(database, 'regent.segments', 'share')
    t.ok((await servers.status(0)).bufferedMessages > 0, 'it still drains')
    await until(async () => await cluster.busy(database, 'push_v', true) > 0, LONGEST_MS)
    journal.fault('server killed in mid-drain with its statement undone')
    await servers.kill(0)
    await cluster.endSessions(database)
    await unlock()
    await servers.start(0)
  })
})

t.test('while it begins a new file of its buffer, also when the database is still away at its next start', async t => {
  await scenario(t, cluster, { env: { FILE_BUFFER_EVENTS_PER_FILE: '3' } }, async ({ cluster, servers, journal, untilBuffered }) => {
    await cluster.stop()
    for (let round = 0; round < 2; round++) {
      await untilBuffered(100)
      await servers.nextFile(0)
      journal.fault('server killed in mid-rotation')
      await servers.kill(0)
      await servers.start(0)
    }
    await cluster.start()
  })
})
