import type { Workload } from './context.ts'
import { measureFlow } from './flow.ts'

/** A consumer that is parked, and a message now and then: how long until it has it. */
export const wakeWorkload: Workload = {
  name: 'wake',
  title: 'one parked consumer, 50 messages a second',
  section: 'latency',
  connections: 2,
  countsStatements: true,
  run: async context => await measureFlow(context, { rate: 50, producers: 1, pushBatch: 1, partitions: 1, consumers: 1, popBatch: 1 })
}
