import type { Workload } from './context.ts'
import { measureFlow } from './flow.ts'
import { PARTITIONS } from './sizes.ts'

const SHAPE = { rate: 20_000, producers: 16, pushBatch: 100, partitions: PARTITIONS, consumers: 16, popBatch: 1000 }

/** Producers and consumers of a busy day. */
export const mixedWorkload: Workload = {
  name: 'mixed',
  title: `20 000 messages a second by the hundred, ${PARTITIONS} partitions, 16 consumers`,
  section: 'latency',
  connections: SHAPE.producers + SHAPE.consumers,
  countsStatements: true,
  run: async context => await measureFlow(context, SHAPE)
}
