import t from 'tap'
import { ack, all, configure, numbers, patience, pick, pop, push, seededRandom, startPair } from './support.ts'
import type { Service } from '../support.ts'
import { ends, faults, jobRunner } from './retention-support.ts'

const QUEUE = 'load'
const PARTITIONS = numbers(6).map(i => `p${i}`)
const ENOUGH = 300
// Producers wait for the slowest group, so that the test ends soon after they do.
const AHEAD = 60

/** What one group was given of each partition, in the order in which it first saw it. */
class Seen {
  readonly #partitions = new Map<string, number[]>()

  add (partition: string, number: number): void {
    const list = this.#partitions.get(partition) ?? []
    this.#partitions.set(partition, list)
    if (!list.includes(number)) list.push(number)
  }

  of (partition: string): number[] {
    return this.#partitions.get(partition) ?? []
  }
}

t.test('under load nothing that somebody has yet to read disappears, and what all have read goes', async t => {
  const pair = await startPair(t)
  const { first, sql } = pair
  await configure(first, QUEUE, { retentionEnabled: true, completedRetentionSeconds: 1, retryLimit: 1000, retryDelay: 0 })
  const jobs = [jobRunner(t, first.databaseUrl, { retentionBatchSize: 20 }), jobRunner(t, first.databaseUrl, { retentionBatchSize: 50 })]
  const random = seededRandom(7)
  const pushed = new Map(PARTITIONS.map(partition => [partition, 0]))
  const now = { isOver: false, isDrained: false, deleted: 0 }
  const groups = ['a', 'b', 'c'].map(name => ({ name, seen: new Seen() }))
  const late = new Seen()
  const moment = async (): Promise<void> => { await new Promise(resolve => setTimeout(resolve, 20)) }

  const produce = async (partition: string, index: number): Promise<void> => {
    for (const goesOn = patience(); goesOn() && !now.isOver;) {
      const next = pushed.get(partition) ?? 0
      if (groups.some(({ seen }) => next - seen.of(partition).length > AHEAD)) {
        await moment()
        continue
      }
      const items = numbers(1 + random(4)).map(i => ({ queue: QUEUE, partition, transactionId: `${partition}-${next + i + 1}`, payload: next + i + 1 }))
      await push(pick(pair.both, index), items)
      pushed.set(partition, next + items.length)
    }
  }

  const consume = async (service: Service, group: string, seen: Seen): Promise<void> => {
    for (const goesOn = patience(); goesOn();) {
      const wasOver = now.isOver
      const messages = await pop(service, `${QUEUE}?consumerGroup=${group}&batch=9&partitions=3&wait=true&timeout=300`)
      for (const { partition, data } of messages) seen.add(partition, data)
      // Mostly all of it; now and then a part, out of order, while the rest is given back and comes again.
      const what = random(4)
      const some = what > 0 ? messages : messages.filter(() => random(2) === 0)
      if (some.length > 0) await ack(service, some, group)
      const rest = messages.filter(message => !some.includes(message))
      if (rest.length > 0) {
        await service.call('POST', '/api/v1/ack/batch', {
          consumerGroup: group,
          acknowledgments: rest.map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId, status: 'retry' }))
        })
      }
      if (wasOver && messages.length === 0 && await drained(group)) return
    }
  }

  const drained = async (group: string): Promise<boolean> => (await sql`
    select from regent.cursors c join regent.groups g on g.id = c.group_id join regent.partitions p on p.id = c.partition_id
      where g.name = ${group} and (c.committed < p.head or g.seeded_to is not null)`).length === 0

  const found: string[] = []
  const retain = async (): Promise<void> => {
    for (const goesOn = patience(); goesOn() && !now.isDrained;) {
      await all(jobs.map(async runner => { await runner.runNow('retention') }))
      found.push(...await faults(sql))
      now.deleted = Object.values(await ends(sql, QUEUE)).reduce((sum, [tail]) => sum + tail, 0)
    }
  }

  const lateGroup = async (): Promise<void> => {
    for (const goesOn = patience(); goesOn() && now.deleted < ENOUGH / 3;) await moment()
    await consume(first, 'late', late)
  }
  const end = async (): Promise<void> => {
    for (const goesOn = patience(); goesOn() && (now.deleted < ENOUGH || late.of('p0').length === 0);) await moment()
    now.isOver = true
  }
  const consumers = groups.flatMap(({ name, seen }, i) => numbers(2).map(async n => { await consume(pick(pair.both, i + n), name, seen) }))
  const work = all([...PARTITIONS.map(produce), ...consumers, lateGroup(), end()]).finally(() => { now.isDrained = true })
  await Promise.all([work, retain()])

  t.same([...new Set(found)], [])
  for (const partition of PARTITIONS) {
    const everything = numbers(pushed.get(partition) ?? 0).map(i => i + 1)
    for (const { name, seen } of groups) t.same(seen.of(partition), everything, `${name} was given all of ${partition}, in order`)
    const rest = late.of(partition)
    t.same(rest, everything.slice(everything.length - rest.length), `late was given what was left of ${partition}, in order`)
  }
  t.ok(now.deleted >= ENOUGH, `${now.deleted} were deleted meanwhile`)
  t.ok(late.of('p0').length < (pushed.get('p0') ?? 0), 'late came after some had gone')
})
