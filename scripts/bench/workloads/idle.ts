import { measure } from '../measure.ts'
import type { Measurement } from '../measure.ts'
import { readTreeRss } from '../proc.ts'
import type { FlowJob, HoldJob, ReadSlowlyJob } from '../jobs.ts'
import type { BenchContext, Workload } from './context.ts'
import { fillQueue } from './pop.ts'
import { PARTITIONS } from './sizes.ts'

const IDLE = 10_000
const PARKED = 5000
const QUEUES = 500
const READERS = PARTITIONS
const READERS_BATCH = 5000
const READERS_BYTES_PER_SECOND = 64 * 1024
const RATE = 500
const PARK_TIMEOUT_MS = 30_000
const LOOK_MS = 50

/** Thousands of connections that do nothing: what they take, and what others notice of them. */
export const idleWorkload: Workload = {
  name: 'idle-15000',
  title: `${RATE} messages a second beside ${IDLE} idle connections and ${PARKED} parked pops of ${QUEUES} queues`,
  section: 'latency',
  connections: IDLE + PARKED,
  run: async context => await beside(context, IDLE + PARKED, url => ({ kind: 'hold', url, idle: IDLE, parked: PARKED, queues: QUEUES }), async url => {
    // With several processes each knows only its own.
    if (context.workers === 1) await waitUntilParked(url)
  })
}

/** Clients that take megabytes by the drop: what waits for them, and what others notice of them. */
export const slowReadersWorkload: Workload = {
  name: 'slow-readers',
  title: `${RATE} messages a second beside ${READERS} clients that read ${READERS_BATCH} messages at ${READERS_BYTES_PER_SECOND / 1024} KB a second`,
  section: 'latency',
  connections: READERS,
  run: async context => await beside(context, READERS, async url => {
    // Each reader's pop claims one partition.
    await fillQueue(context, url, 'slow', PARTITIONS * READERS_BATCH)
    return { kind: 'read-slowly', url, queue: 'slow', readers: READERS, batch: READERS_BATCH, bytesPerSecond: READERS_BYTES_PER_SECOND }
  })
}

/** The same light load, alone and then beside connections that are kept by a generator of their own. */
async function beside (context: BenchContext, connections: number, keep: (url: string) => HoldJob | Promise<ReadSlowlyJob>,
  settle = async (_url: string): Promise<void> => {}): Promise<Measurement> {
  const { url, pid } = await context.startService()
  const job: FlowJob = { kind: 'flow', url, queue: 'busy', seconds: context.seconds, rate: RATE, window: 0, producers: 4, pushBatch: 1, partitions: PARTITIONS, consumers: 16, popBatch: 1, firstNumber: 0 }
  const kept = await keep(url)
  const warm = await context.generator.perform({ ...job, seconds: context.warmUpSeconds })
  const alone = await context.generator.perform({ ...job, firstNumber: warm.nextNumber })
  const rssAlone = await readTreeRss(pid)
  const keeper = context.startGenerator()
  const held = await keeper.perform(kept)
  await settle(url)
  const measurement = await measure({ ...job, firstNumber: alone.nextNumber }, context, { serverPid: pid })
  const released = await keeper.perform({ kind: 'release' })
  const grown = measurement.serverRssBytes === null || rssAlone === null ? {} : { bytesPerConnection: (measurement.serverRssBytes - rssAlone) / connections }
  return {
    ...measurement,
    figures: { ...measurement.figures, ...grown, rate: RATE, p50AloneMs: alone.latency?.p50Ms ?? 0, p99AloneMs: alone.latency?.p99Ms ?? 0, openedInSeconds: held.seconds },
    faults: [...warm.faults, ...alone.faults, ...held.faults, ...measurement.faults, ...released.faults]
  }
}

async function waitUntilParked (url: string): Promise<void> {
  const giveUpAt = performance.now() + PARK_TIMEOUT_MS
  for (;;) {
    const { load } = await (await fetch(`${url}/health`)).json() as { load: { parkedPops: number } } // the route's own shape
    if (load.parkedPops === PARKED) return
    if (performance.now() > giveUpAt) throw new Error(`${load.parkedPops} pops are parked, not ${PARKED}`)
    await new Promise(resolve => setTimeout(resolve, LOOK_MS))
  }
}
