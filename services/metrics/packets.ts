import { OTHER_QUEUES } from './counters.ts'
import type { Counts } from './counters.ts'
import { Figures } from './figures.ts'
import { Tally } from './tally.ts'

/** What one process counted and sampled in one minute, or in several that could not be written in time. */
export interface Batch extends Counts {
  /** Start of the minute, in milliseconds since 1970. */
  bucketMs: number
  figures: Figures
}

export interface Identity {
  hostname: string
  workerId: string
  /** The number in workerId, for those who want one. */
  worker: number
  pid: number
  /** Where it listens; 0: nowhere. */
  port: number
}

/** What one write carries, as JSON texts. */
export interface Packet { seq: number, queues: string, workers: string, totals: string }

const ROWS_PER_PACKET = 1000
// While the database is away, older minutes are counted together.
const MOST_BATCHES = 5
const MOST_QUEUES = 10_000
const TOTALS = ['pushRequests', 'pushMessages', 'popRequests', 'popMessages', 'popEmpty', 'ackRequests', 'ackSuccess', 'ackFailed',
  'transactions', 'deadLetters', 'partitionsCreated', 'dbErrors'] as const satisfies readonly (keyof Tally)[]

/** Add a batch to those that wait to be written, of which there are never many. */
export function addBatch (batches: Batch[], batch: Batch): void {
  const newest = batches.at(-1)
  if (newest?.bucketMs === batch.bucketMs) mergeInto(newest, batch)
  else batches.push(batch)
  const [oldest, second] = batches
  if (batches.length <= MOST_BATCHES || oldest === undefined || second === undefined) return
  mergeInto(oldest, second)
  batches.splice(1, 1)
}

function mergeInto (target: Batch, later: Batch): void {
  target.process.add(later.process)
  target.figures.add(later.figures)
  for (const [queue, tally] of later.queues) {
    const name = target.queues.has(queue) || target.queues.size < MOST_QUEUES ? queue : OTHER_QUEUES
    const known = target.queues.get(name)
    if (known === undefined) target.queues.set(name, tally)
    else known.add(tally)
  }
}

/** Pack batches into writes of bounded size, numbered from `firstSeq`. */
export function packBatches (batches: readonly Batch[], identity: Identity, firstSeq: number): Packet[] {
  const { pid, port, ...names } = identity
  const who = { hostname: names.hostname, worker_id: names.workerId, worker: names.worker }
  const workers: object[] = []
  const queues: object[] = []
  const all = new Tally()
  for (const { bucketMs, process, queues: tallies, figures } of batches) {
    const bucket = new Date(bucketMs).toISOString()
    all.add(process)
    workers.push({ bucket, ...who, pid, port, ...columnsOf(process), samples: figures.samples, figures: Object.fromEntries(figures.byName) })
    for (const [queue, tally] of tallies) queues.push({ bucket, queue, ...who, ...columnsOf(tally) })
  }
  if (workers.length === 0) return []
  const packets = [{
    seq: firstSeq,
    queues: JSON.stringify(queues.slice(0, ROWS_PER_PACKET)),
    workers: JSON.stringify(workers),
    totals: JSON.stringify(Object.fromEntries(TOTALS.map(name => [columnOf(name), all[name]])))
  }]
  for (let i = ROWS_PER_PACKET; i < queues.length; i += ROWS_PER_PACKET) {
    packets.push({ seq: firstSeq + packets.length, queues: JSON.stringify(queues.slice(i, i + ROWS_PER_PACKET)), workers: '[]', totals: '{}' })
  }
  return packets
}

function columnsOf (tally: Tally): Record<string, number> {
  return Object.fromEntries(Object.entries(tally).map(([name, value]: [string, number]) => [columnOf(name), value]))
}

function columnOf (name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}
