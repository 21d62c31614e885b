import type { Test } from 'tap'
import { connect, until } from '../../support.ts'
import { consume, finish } from './consumer.ts'
import { checkRemains, resolveTransactions } from './final-check.ts'
import type { Known } from './final-check.ts'
import { haunt, meddle, resetClock } from './gremlin.ts'
import { makeQueues, operate } from './operator.ts'
import { produce } from './producer.ts'
import { QUEUES } from './queues.ts'
import { readRemains, readStandings } from './stored.ts'
import type { Remains, Standing } from './stored.ts'
import { World } from './world.ts'

const LONGEST_MS = 40_000

export interface HistoryOptions {
  /** Of the client whose steps set the pace. */
  steps: number
  hasFaults?: boolean
}

export interface History { world: World, known: Known, remains: Remains, faults: string[] }

/**
 * One history: clients work, each through its own sequence, while things go wrong; then faults end, everything is drained and
 * consumed, and what clients know is compared with what the database holds.
 *
 * The service is concurrent, so a seed does not decide how the clients' calls interleave. It decides everything else: the same
 * seed gives every client the same operations in its own sequence, and faults at the same steps of the pace-maker. What a
 * client draws depends on the seed, its name and its step only; what it does with an answer, on the answer as well.
 */
export async function runHistory (t: Test, seed: string, { steps, hasFaults = true }: HistoryOptions): Promise<History> {
  const world = await World.start(t, seed)
  const sql = connect(t, world.databaseUrl, 1)
  const known = (): Known => ({ pushes: world.pushes, groups: world.groups, maintenances: world.maintenances, sealedTimes: world.sealedTimes, wereAnswersLost: world.made.size > 0 || world.operations.has('pop left') })
  try {
    await makeQueues(world)
    const producers = Array.from({ length: world.stream('crowd', 0).between(1, 3) }, async (_, i) => { await produce(world, `producer${i}`, steps, i === 0) })
    const consumers = Array.from({ length: world.stream('crowd', 1).between(2, 4) }, async (_, i) => { await consume(world, `consumer${i}`, Math.ceil(steps / 2)) })
    const others = hasFaults ? [operate(world, 'operator', steps), haunt(t, world, 'haunter', steps), meddle(world, 'meddler', steps)] : []
    await Promise.all([...producers, ...consumers, ...others])
    world.isCalm = true
    resetClock()
    await settle(world, async (queue, group) => (await readStandings(sql)).filter(standing =>
      standing.queue === queue && standing.group === group && (standing.committed !== standing.head || standing.unrest !== '')))
    const remains = await readRemains(world, sql)
    resolveTransactions(known(), remains)
    return { world, known: known(), remains, faults: [...world.faults, ...checkRemains(known(), remains)] }
  } catch (error) {
    throw new Error(`history ${seed}: ${world.faults.join('\n')}\n${world.trace.slice(-50).join('\n')}`, { cause: error })
  } finally {
    resetClock()
    for (const { service } of world.instances) await service.close()
  }
}

/** Everything that is buffered is stored, and everything that is stored is behind every group. */
async function settle (world: World, leftFor: (queue: string, group: string) => Promise<Standing[]>): Promise<void> {
  const deadline = performance.now() + LONGEST_MS
  for (const instance of world.instances) {
    await until(async () => (await world.call(instance, 'GET', '/api/v1/system/maintenance'))?.json?.bufferedMessages === 0, LONGEST_MS)
      .catch(() => { world.faults.push(`instance ${instance.index} does not drain`) })
  }
  await Promise.all(QUEUES.flatMap(queue => queue.groups.map(async group => {
    await finish(world, queue, group, async () => {
      const left = await leftFor(queue.name, group)
      // What is left is told by the final check.
      return left.length === 0 || performance.now() > deadline
    })
  })))
}
