// A database that is there and does not do what it is asked for.
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { until } from '../support.ts'
import { Cluster } from './suite/cluster.ts'
import { FILE_TIMEOUT_MS, scenario } from './suite/scenario.ts'

t.setTimeout(FILE_TIMEOUT_MS)
const cluster = await Cluster.start(t)
const LONGEST_MS = 60_000
const SLOW = '503 RGT_DATABASE_SLOW'

t.test('sessions are terminated in a storm', async t => {
  await scenario(t, cluster, {}, async ({ t, cluster, database, journal }) => {
    const ended = await cluster.storm(database, 3000, 20)
    t.ok(ended > 20, `${ended} sessions`)
    for (let i = 0; i < ended; i++) journal.fault('session terminated')
  })
})

t.test('a lock on the table of partitions outlasts every deadline and takes all connections', async t => {
  await scenario(t, cluster, {}, async ({ cluster, database, journal }) => {
    const slow = journal.count('push', SLOW)
    journal.fault('partitions locked')
    const unlock = await cluster.lock(database, 'regent.partitions', 'exclusive')
    await until(() => journal.count('push', SLOW) >= slow + 4, LONGEST_MS)
    await delay(3000)
    await unlock()
  })
})

t.test('the database is read-only, as a standby is, and then is not', async t => {
  await scenario(t, cluster, {}, async ({ cluster, journal, untilBuffered }) => {
    journal.fault('read-only')
    await cluster.setReadOnly(true)
    await untilBuffered(200)
    await cluster.setReadOnly(false)
  })
})

t.test('outside sessions take every connection there is', async t => {
  await scenario(t, cluster, {}, async ({ cluster, database, journal, untilBuffered }) => {
    journal.fault('out of connections')
    const release = await cluster.occupy(database)
    await untilBuffered(200)
    await release()
  })
})

t.test('nobody takes connections any more, and those that there were have ended', async t => {
  await scenario(t, cluster, {}, async ({ cluster, database, journal, untilBuffered }) => {
    journal.fault('connections neither taken nor kept')
    await cluster.jam(database)
    await untilBuffered(100)
    cluster.thaw()
  })
})
