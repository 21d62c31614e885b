import { measure } from '../measure.ts'
import { readTreeRss } from '../proc.ts'
import type { FlowJob } from '../jobs.ts'
import type { Workload } from './context.ts'

const IDLE = 10_000
const PARKED = 5000
const QUEUES = 500
const RATE = 500
const PARK_TIMEOUT_MS = 30_000
const LOOK_MS = 50

/** Thousands of connections that do nothing: what they take, and what others notice of them. */
export const idleWorkload: Workload = {
  name: 'idle-15000',
  title: `${RATE} messages a second beside ${IDLE} idle connections and ${PARKED} parked pops of ${QUEUES} queues`,
  section: 'latency',
  connections: IDLE + PARKED,
  run: async context => {
    const { url, pid } = await context.startService()
    const job: FlowJob = { kind: 'flow', url, queue: 'busy', seconds: context.seconds, rate: RATE, window: 0, producers: 4, pushBatch: 1, partitions: 100, consumers: 16, popBatch: 1, firstNumber: 0 }
    const alone = await context.generator.perform(job)
    const rssAlone = await readTreeRss(pid)
    const holder = context.startGenerator()
    const held = await holder.perform({ kind: 'hold', url, idle: IDLE, parked: PARKED, queues: QUEUES })
    // With several processes each knows only its own.
    if (context.workers === 1) await waitUntilParked(url)
    const measurement = await measure({ ...job, firstNumber: alone.nextNumber }, context, { serverPid: pid })
    const released = await holder.perform({ kind: 'release' })
    const grown = measurement.serverRssBytes === null || rssAlone === null ? {} : { bytesPerConnection: (measurement.serverRssBytes - rssAlone) / (IDLE + PARKED) }
    return {
      ...measurement,
      figures: { ...measurement.figures, ...grown, rate: RATE, p50AloneMs: alone.latency?.p50Ms ?? 0, p99AloneMs: alone.latency?.p99Ms ?? 0, openedInSeconds: held.seconds },
      faults: [...alone.faults, ...held.faults, ...measurement.faults, ...released.faults]
    }
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
