import type { Workload } from './context.ts'
import { measureFlow } from './flow.ts'

const SHAPE = { rate: 10_000, producers: 16, pushBatch: 10, partitions: 10, consumers: 10, popBatch: 100 }

/** Few partitions that never run dry, a consumer for each. */
export const denseWorkload: Workload = {
  name: 'dense',
  title: '10 partitions, 1000 messages a second in each, 10 consumers',
  section: 'latency',
  connections: SHAPE.producers + SHAPE.consumers,
  countsStatements: true,
  run: async context => await measureFlow(context, SHAPE)
}
