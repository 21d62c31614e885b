import { measureFlow } from './flow.ts'
import type { FlowShape } from './flow.ts'
import type { BenchContext, Workload } from './context.ts'
import { PARTITIONS } from './sizes.ts'

// The same load in all of them, at a rate that leaves room: what differs is what lies around it.
const RATE = 4000
const SHAPE: FlowShape = { rate: RATE, producers: 16, pushBatch: 10, partitions: PARTITIONS, consumers: 16, popBatch: 100 }
const QUEUE = 'flow'
const GROUP = '__QUEUE_MODE__'
const MANY_PARTITIONS = 100_000
const STORED_MESSAGES = 10_000_000
const WINDOW_MESSAGES = 2_000_000
const OTHER_GROUPS = 49
const PINNED_SECONDS = 60
const FILL_BATCH = 1000

interface Condition {
  name: string
  title: string
  /** Brings it about; returns the number of the next message. */
  prepare: (context: BenchContext, url: string) => Promise<number>
}

const CONDITIONS: Condition[] = [
  { name: 'stay-base', title: 'nothing else there', prepare: async () => 0 },
  {
    name: 'stay-partitions',
    title: `${MANY_PARTITIONS} partitions more in the queue, all read`,
    async prepare (context, url) {
      await fill(context, url, QUEUE, { messages: MANY_PARTITIONS, batch: 1, partitions: MANY_PARTITIONS })
      await popOnce(url, GROUP)
      await request(url, 'POST', `/api/v1/consumer-groups/${GROUP}/queues/${QUEUE}/seek`, { toEnd: true })
      return MANY_PARTITIONS
    }
  },
  {
    name: 'stay-stored',
    title: `${STORED_MESSAGES} messages stored in another queue`,
    async prepare (context, url) {
      await fill(context, url, 'stored', { messages: STORED_MESSAGES, batch: FILL_BATCH, partitions: PARTITIONS })
      return 0
    }
  },
  {
    name: 'stay-window',
    title: `${WINDOW_MESSAGES} transaction ids in the partitions' deduplication windows`,
    async prepare (context, url) {
      await fill(context, url, QUEUE, { messages: WINDOW_MESSAGES, batch: FILL_BATCH, partitions: PARTITIONS })
      await popOnce(url, GROUP)
      await request(url, 'POST', `/api/v1/consumer-groups/${GROUP}/queues/${QUEUE}/seek`, { toEnd: true })
      return WINDOW_MESSAGES
    }
  },
  {
    name: 'stay-groups',
    title: `${OTHER_GROUPS} groups more, which lag behind`,
    async prepare (_context, url) {
      await request(url, 'POST', '/api/v1/configure', { queue: QUEUE })
      for (let group = 0; group < OTHER_GROUPS; group++) await popOnce(url, `lagging-${group}`)
      return 0
    }
  },
  {
    name: 'stay-pinned',
    title: 'a transaction held open elsewhere, so that nothing can be vacuumed',
    async prepare (context, url) {
      const held = await context.database.sql.reserve()
      await held`begin isolation level repeatable read`
      await held`select txid_current()`
      const { nextNumber } = await context.generator.perform({
        kind: 'flow', url, queue: QUEUE, seconds: PINNED_SECONDS, window: 0, firstNumber: 0, ...SHAPE, rate: RATE
      })
      return nextNumber
    }
  }
]

/** Whether an operation costs the same when there is much of everything: each beside `stay-base`. */
export const stayWorkloads: Workload[] = CONDITIONS.map(({ name, title, prepare }) => ({
  name,
  title,
  section: 'stay',
  connections: SHAPE.producers + SHAPE.consumers,
  isLong: true,
  run: async context => await measureFlow(context, SHAPE, async url => await prepare(context, url))
}))

async function fill ({ generator }: BenchContext, url: string, queue: string, size: { messages: number, batch: number, partitions: number }): Promise<void> {
  const { faults } = await generator.perform({ kind: 'fill', url, queue, connections: 32, ...size })
  if (faults.length > 0) throw new Error(`filling a queue went wrong: ${faults.join('; ')}`)
}

/** Makes the group; what it gets is to be had again, or behind it, afterwards. */
async function popOnce (url: string, group: string): Promise<void> {
  await request(url, 'GET', `/api/v1/pop/queue/${QUEUE}?batch=1&autoAck=true${group === GROUP ? '' : `&consumerGroup=${group}`}`)
}

async function request (url: string, method: string, path: string, body?: unknown): Promise<void> {
  const init = body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(url + path, { method, ...init })
  const text = await response.text()
  if (!response.ok) throw new Error(`${path} was answered ${response.status}: ${text.slice(0, 200)}`)
}
