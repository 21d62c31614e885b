import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Cluster } from './suite/cluster.ts'
import { FILE_TIMEOUT_MS, scenario } from './suite/scenario.ts'

t.setTimeout(FILE_TIMEOUT_MS)
const cluster = await Cluster.start(t)

t.test('every process of the database is killed, and it comes back after some seconds', async t => {
  await scenario(t, cluster, {}, async ({ journal }) => {
    journal.fault('database killed')
    await cluster.kill()
    await delay(3000)
    await cluster.start()
  })
})

t.test('the database is restarted in haste', async t => {
  await scenario(t, cluster, {}, async ({ journal }) => {
    journal.fault('database restarted')
    await cluster.stop()
    await cluster.start()
  })
})

t.test('the database stands still for longer than any deadline, and goes on', async t => {
  await scenario(t, cluster, {}, async ({ journal }) => {
    journal.fault('database frozen')
    cluster.freeze()
    await delay(6000)
    cluster.thaw()
  })
})
