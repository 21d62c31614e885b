// The database goes away and comes back under several workers, and processes are killed meanwhile. The clients, the books and
// their checks are those of the fault suite; the producers here ask another worker each time.
import t from 'tap'
import { Cluster } from '../fault/suite/cluster.ts'
import { FILE_TIMEOUT_MS, scenario } from '../fault/suite/scenario.ts'
import type { World } from '../fault/suite/scenario.ts'
import { until } from '../support.ts'
import { AlternatingProducer } from './alternating-producer.ts'
import { pidOf } from './connections.ts'

const WORKERS = 3
const PRODUCERS = 3
const LONGEST_MS = 90_000
const numbers = Array.from({ length: WORKERS }, (_, i) => i + 1)

t.setTimeout(FILE_TIMEOUT_MS)
const cluster = await Cluster.start(t)

t.test('producers that ask another worker each time lose nothing, double nothing and keep their order', async t => {
  await scenario(t, cluster, { producers: 2, env: { WORKERS: String(WORKERS), LOG_LEVEL: 'info' } }, async world => {
    const { cluster, servers, journal, untilServing, untilBuffered } = world
    const producers = Array.from({ length: PRODUCERS }, (_, i) =>
      new AlternatingProducer({ t: world.t, journal, url: () => servers.url(0), queue: 'plain', partition: `alternating-${i}`, workers: WORKERS }))

    journal.fault('database killed')
    await cluster.kill()
    await untilBuffered(100)
    await killWorker(world, 2)
    await untilBuffered(50)
    await cluster.start()
    await untilServing()

    journal.fault('push maintenance')
    await servers.setMaintenance(0, true)
    await untilBuffered(100)
    await servers.setMaintenance(0, false)
    await untilServing()

    journal.fault('database stopped')
    await cluster.stop()
    await untilBuffered(50)
    await killAll(world)
    await untilBuffered(50)
    await cluster.start()
    await untilServing()

    await until(() => producers.every(({ workers }) => new Set(workers).size === WORKERS), LONGEST_MS)
    let areDone = false
    void Promise.all(producers.map(async producer => { await producer.stop() })).then(() => { areDone = true })
    await until(() => areDone, LONGEST_MS)
    for (const { workers } of producers) {
      t.ok(workers.length > 50, `${workers.length} pushes`)
      t.notOk(workers.some((worker, i) => worker === workers[i - 1]), 'never the same worker twice')
    }
  })
})

/** Kills one worker and waits for the one that takes its place. */
async function killWorker ({ servers, journal }: World, worker: number): Promise<void> {
  journal.fault('worker killed')
  const pid = pidOf(servers.output(0), worker)
  // The suite's own clients do not know which of their connections it had.
  for (const server of [0, worker]) journal.down(server, 'killed')
  process.kill(pid, 'SIGKILL')
  await until(() => pidOf(servers.output(0), worker) !== pid, LONGEST_MS)
  for (const server of [0, worker]) journal.up(server)
}

/** Kills the main process, with which the workers end, and starts it again on its folder. */
async function killAll ({ servers, journal }: World): Promise<void> {
  journal.fault('main process killed')
  for (const worker of numbers) journal.down(worker, 'killed')
  await servers.kill(0)
  await servers.start(0)
  for (const worker of numbers) journal.up(worker)
}
