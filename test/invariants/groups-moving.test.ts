import t from 'tap'
import type { Service } from '../support.ts'
import { until } from '../support.ts'
import { Journal, startReaders } from './journal.ts'
import { ack, addressOf, all, numbers, pick, pop, push, startPair } from './support.ts'
import type { Message } from './support.ts'

const PARTITIONS = 1000
const FIRST_ROUNDS = 2
const LATER_ROUNDS = 4
const QUEUE = 'orders'

/** What one pop brought, when it was sent and answered, and what of it could be acknowledged. */
interface Delivered { sentAt: number, answeredAt: number, messages: Message[], acked: Set<string> }

/** When something was done to a group, by the same clock. */
interface Moved { sentAt: number, answeredAt: number }

/** A group that is moved while it consumes: acknowledgements of what it held then are refused. */
class MovingGroup {
  readonly #name: string
  readonly #delivered: Delivered[] = []
  readonly #stopped = new AbortController()
  readonly #running: Promise<void>
  #failure: unknown
  acked = 0

  constructor (instances: Service[], name: string, batch: number) {
    this.#name = name
    this.#running = all(numbers(3).map(async reader => { await this.#read(instances, reader, batch) }))
      .then(() => {}, (error: unknown) => { if (!this.#stopped.signal.aborted) this.#failure = error })
  }

  async #read (instances: Service[], reader: number, batch: number): Promise<void> {
    const path = `${QUEUE}?wait=true&timeout=60000&batch=${batch}&partitions=${batch}&consumerGroup=${this.#name}`
    for (let turn = reader; !this.#stopped.signal.aborted; turn++) {
      const sentAt = performance.now()
      const messages = await pop(pick(instances, reader), path, { signal: this.#stopped.signal })
      const delivered: Delivered = { sentAt, answeredAt: performance.now(), messages, acked: new Set() }
      this.#delivered.push(delivered)
      const answers = await ack(pick(instances, turn), messages, this.#name)
      for (const [i, { id }] of messages.entries()) if (answers[i]?.success === true) delivered.acked.add(id)
      this.acked += delivered.acked.size
    }
  }

  check (): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  async stop (): Promise<void> {
    this.#stopped.abort()
    await this.#running
    this.check()
  }

  /**
   * What is wrong with what came, if the group was moved to `target` in every partition: before, all in order from the
   * first; afterwards, all in order up to the last; what lies between the target and that came while it was moved.
   */
  faults (moved: Moved, target: number, last: number): string[] {
    const faults: string[] = []
    const before = new Map<number, number>()
    const during = new Map<number, Set<number>>()
    const after = new Map<number, number>()
    const partitions = new Set<number>()
    for (const { sentAt, answeredAt, messages, acked } of this.#delivered) {
      for (const { id } of messages) {
        const { partition, position } = addressOf(id)
        partitions.add(partition)
        if (answeredAt < moved.sentAt) {
          if (position !== (before.get(partition) ?? 0) + 1) faults.push(`${partition}: ${position} came after ${before.get(partition)} at first`)
          before.set(partition, position)
        } else if (sentAt > moved.answeredAt) {
          const previous = after.get(partition)
          if (position <= target) faults.push(`${partition}: ${position} came, which was to be skipped`)
          // The first ones may have come while the others were still being moved.
          const missing = numbers(position - target - 1).map(i => target + 1 + i).filter(p => previous === undefined && during.get(partition)?.has(p) !== true)
          if (missing.length > 0) faults.push(`${partition}: ${missing.join()} did not come again`)
          if (previous !== undefined && position !== previous + 1) faults.push(`${partition}: ${position} came after ${previous} again`)
          after.set(partition, position)
        } else if (acked.has(id)) {
          const known = during.get(partition) ?? new Set()
          during.set(partition, known.add(position))
        }
      }
    }
    if (partitions.size !== PARTITIONS) faults.push(`${partitions.size} partitions were seen`)
    for (const partition of partitions) {
      const end = after.get(partition) ?? Math.max(0, ...during.get(partition) ?? [])
      if (end !== last) faults.push(`${partition}: ended at ${end}`)
    }
    return faults.slice(0, 10)
  }

  /** How many messages beyond a position came before a moment. */
  countBefore (moment: number, target: number): number {
    return this.#delivered.filter(({ answeredAt }) => answeredAt < moment)
      .flatMap(({ messages }) => messages).filter(({ id }) => addressOf(id).position > target).length
  }
}

t.test('groups of different speeds over a thousand partitions, one moved back and one deleted meanwhile', async t => {
  const pair = await startPair(t)
  const journal = new Journal()
  const pushRound = async (round: number): Promise<void> => {
    await all(numbers(4).map(async part => {
      const items = numbers(PARTITIONS / 4).map(i => ({ queue: QUEUE, partition: `p${part * 250 + i}`, transactionId: `${round}-${part * 250 + i}`, payload: round }))
      for (const answer of await push(pick(pair.both, part), items)) journal.sent(answer.transaction_id, answer.message_id, 'writer', round)
    }))
  }
  const call = async (method: string, path: string, body?: object): Promise<{ moved: Moved, json: any }> => {
    const sentAt = performance.now()
    const { status, json, text } = await pair.first.call(method, `/api/v1/consumer-groups/${path}`, body)
    if (status !== 200) throw new Error(text)
    return { moved: { sentAt, answeredAt: performance.now() }, json }
  }
  for (const round of numbers(FIRST_ROUNDS)) await pushRound(round)
  const [latest] = await pair.sql`select regent.wire_time(max(created_at)) as at from regent.segments`

  const steady = { quick: { readers: 3, batch: 200, partitions: 100 }, slow: { readers: 1, batch: 60, partitions: 40 } }
  const readers = Object.entries(steady).map(([group, speed]) => startReaders({ instances: pair.both, queue: QUEUE, journal, group, ...speed }))
  const sought = new MovingGroup(pair.both, 'sought', 80)
  const deleted = new MovingGroup(pair.both, 'deleted', 50)
  t.teardown(async () => { await Promise.allSettled([...readers, sought, deleted].map(async group => { await group.stop() })) })
  const total = PARTITIONS * (FIRST_ROUNDS + LATER_ROUNDS)
  const reaches = async (group: MovingGroup, count: number): Promise<void> => {
    await until(() => {
      group.check()
      return group.acked >= count
    }, 60_000)
  }
  const [seek, deletion] = await all<{ moved: Moved, json: any } | undefined>([
    reaches(sought, total * 0.6).then(async () => await call('POST', `sought/queues/${QUEUE}/seek`, { timestamp: latest?.at })),
    reaches(deleted, total * 0.4).then(async () => await call('DELETE', 'deleted')),
    (async () => {
      for (const round of numbers(LATER_ROUNDS)) await pushRound(FIRST_ROUNDS + round)
      return undefined
    })()
  ])
  if (seek === undefined || deletion === undefined) throw new Error('unreachable')
  t.equal(seek.json.partitionsUpdated, PARTITIONS)
  t.ok(deletion.json.deletedPartitions > 0)

  for (const reader of readers) await reader.until(() => total, 60_000)
  for (const group of Object.keys(steady)) t.strictSame(journal.faults(group), [], `${group}: every message once, in order`)
  await until(async () => {
    sought.check()
    deleted.check()
    const { json } = await pair.second.call('GET', '/api/v1/consumer-groups')
    return json.length === 4 && json.every((group: any) => group.totalLag === 0 && group.members === PARTITIONS)
  }, 60_000)
  await all([...readers, sought, deleted].map(async group => { await group.stop() }))
  const last = FIRST_ROUNDS + LATER_ROUNDS
  t.ok(sought.countBefore(seek.moved.sentAt, FIRST_ROUNDS) > 0, 'it had read beyond where it was moved to')
  t.strictSame(sought.faults(seek.moved, FIRST_ROUNDS, last), [], 'the one moved back gets everything from there again, in order')
  t.strictSame(deleted.faults(deletion.moved, 0, last), [], 'the deleted one begins anew, in order')
  const marks = await pair.sql`
    select c.group_id from regent.cursors c join regent.partitions p on p.id = c.partition_id
      join regent.groups g on g.id = c.group_id where c.committed <> p.head or c.available_at < 'infinity' or c.lease_id is not null`
  t.strictSame([...marks], [], 'every cursor is drained')
})
