import type { Workload } from './context.ts'
import { measureFlow } from './flow.ts'

const SHAPE = { producers: 16, pushBatch: 1, partitions: 1000, consumers: 64, popBatch: 10 }

/** Many partitions with little in each, and consumers that are parked: every message is a wake-up of its own. */
export const sparseWorkloads: Workload[] = [
  {
    name: 'sparse',
    title: '1000 partitions, a message a second in each, 64 parked consumers',
    rate: 1000
  },
  {
    name: 'sparse-30',
    title: '1000 partitions, 30 % of the greatest rate, 64 parked consumers',
    rate: { shareOfPeak: 0.3 }
  }
].map(({ name, title, rate }) => ({
  name,
  title,
  section: 'latency',
  connections: SHAPE.producers + SHAPE.consumers,
  countsStatements: true,
  run: async context => await measureFlow(context, { ...SHAPE, rate })
}))
