import t from 'tap'
import type { Service } from '../support.ts'
import { until } from '../support.ts'
import { ack, all, hold, messagesOf, numbers, pick, pop, positionOf, push, seededRandom, startPair, untilBlocked } from './support.ts'
import type { Message, Pair } from './support.ts'

const QUEUE = 'deleted'
const PARTITIONS = ['p0', 'p1', 'p2']

/** How a group reads a partition: what follows the partition's name, and whether what came has to be acknowledged. */
interface Way { group: string, query: string, acks: 'none' | 'whole' | 'halves' }

const WAYS: Way[] = [
  { group: 'polls', query: 'batch=7&wait=true&timeout=500', acks: 'whole' },
  { group: 'lags', query: 'batch=3', acks: 'halves' },
  { group: 'auto', query: 'batch=4&autoAck=true&wait=true&timeout=500', acks: 'none' }
]

/** One delivery, and when the pop that brought it was sent. */
interface Delivered { id: string, position: number, askedAt: number }

/** What one group has read of one partition, by one reader: its order is that of the deliveries. */
type Read = Delivered[]

async function remove (service: Service, partitionId: string, transactionId: string): Promise<boolean> {
  const answer = await service.call('DELETE', `/api/v1/messages/${partitionId}/${transactionId}`)
  if (answer.status !== 200) throw new Error(`delete was answered ${answer.status} ${answer.text}`)
  return answer.json.success
}

async function readOnce (service: Service, partition: string, { group, query, acks }: Way, read: Read): Promise<void> {
  const askedAt = performance.now()
  const messages = messagesOf(await service.pop(`${QUEUE}/partition/${partition}?consumerGroup=${group}&${query}`))
  for (const message of messages) read.push({ id: message.id, position: positionOf(message), askedAt })
  const middle = acks === 'halves' ? messages.length >> 1 : 0
  const parts: Message[][] = acks === 'none' ? [] : [messages.slice(middle), messages.slice(0, middle)]
  for (const part of parts.filter(({ length }) => length > 0)) {
    const refused = (await ack(service, part, group)).find(({ success }) => !success)
    if (refused !== undefined) throw new Error(`${group} was refused an acknowledgement: ${JSON.stringify(refused)}`)
  }
}

t.test('messages deleted at random never come afterwards, and all others come once and in order', async t => {
  const pair = await startPair(t)
  const random = seededRandom(7)
  const sent = new Set<string>()
  const deletedAt = new Map<string, number>()
  const reads = new Map<string, Read>()
  const end = new AbortController()
  let lagsMayRead = false

  await push(pair.first, PARTITIONS.map(partition => ({ queue: QUEUE, partition, transactionId: `${partition}-start`, payload: 0 }))).then(pushed => {
    for (const { message_id: id } of pushed) sent.add(id)
  })
  // The group that lags exists from the beginning, so that deletions find its cursors.
  await pop(pair.first, `${QUEUE}/partition/none?consumerGroup=lags`)

  const produce = async (client: number): Promise<void> => {
    for (const round of numbers(60)) {
      if (round === 40) lagsMayRead = true
      const service = pick(pair.both, client + round)
      const partition = pick(PARTITIONS, random(3))
      const pushed = await push(service, numbers(1 + random(4)).map(i => ({ queue: QUEUE, partition, transactionId: `${client}-${round}-${i}`, payload: round })))
      for (const { message_id: id } of pushed) sent.add(id)
      for (const message of pushed.filter(() => random(3) === 0)) {
        const services = random(2) === 0 ? pair.both : [pick(pair.both, random(2))]
        const outcomes = await all(services.map(async each => await remove(each, message.partition_id, message.transaction_id)))
        if (outcomes.filter(Boolean).length !== 1) throw new Error(`${message.transaction_id} was deleted ${String(outcomes)}`)
        deletedAt.set(message.message_id, performance.now())
        if (random(2) === 0) {
          const [again] = await push(pick(pair.both, random(2)), [{ queue: QUEUE, partition, transactionId: message.transaction_id, payload: 'again' }])
          if (again.status !== 'queued' || again.message_id === message.message_id) throw new Error(`not a new message: ${JSON.stringify(again)}`)
          sent.add(again.message_id)
        }
      }
    }
  }
  const read = async (way: Way, partition: string, service: Service): Promise<void> => {
    const own: Read = []
    reads.set(`${way.group} ${partition}`, own)
    if (way.group === 'lags') await until(() => lagsMayRead || end.signal.aborted, 60_000)
    while (!end.signal.aborted) await readOnce(service, partition, way, own)
  }
  const producers = all(numbers(4).map(produce))
  const readers = all(WAYS.flatMap(way => PARTITIONS.map(async (partition, i) => { await read(way, partition, pick(pair.both, i)) })))
  try {
    await producers
    await until(async () => await left(pair) === 0, 60_000)
  } finally {
    end.abort()
    await readers
  }
  const late: Way = { group: 'late', query: 'batch=1000&autoAck=true', acks: 'none' }
  for (const partition of PARTITIONS) {
    const own: Read = []
    reads.set(`late ${partition}`, own)
    await readOnce(pair.second, partition, late, own)
  }

  const faults: string[] = []
  let keptBack = 0
  for (const group of [...WAYS.map(way => way.group), 'late']) {
    const came = new Set<string>()
    for (const partition of PARTITIONS) {
      let last = 0
      for (const { id, position, askedAt } of reads.get(`${group} ${partition}`) ?? []) {
        if (came.has(id)) faults.push(`${group}: ${id} came twice`)
        came.add(id)
        if (position <= last) faults.push(`${group}: ${partition}: ${position} came after ${last}`)
        last = position
        if (!sent.has(id)) faults.push(`${group}: ${id} was never pushed`)
        if (askedAt > (deletedAt.get(id) ?? Infinity)) faults.push(`${group}: ${id} came though it had been deleted`)
      }
    }
    for (const id of sent) if (!came.has(id) && !deletedAt.has(id)) faults.push(`${group}: ${id} did not come`)
    for (const id of deletedAt.keys()) if (!came.has(id)) keptBack++
    if (group === 'late' && [...deletedAt.keys()].some(id => came.has(id))) faults.push('the late group saw deleted messages')
  }
  t.strictSame(faults.slice(0, 10), [])
  t.ok(keptBack > deletedAt.size, 'many were deleted before they were delivered')

  for (const partition of PARTITIONS) {
    for (const way of [...WAYS, late]) t.strictSame(await pop(pair.first, `${QUEUE}/partition/${partition}?consumerGroup=${way.group}`), [])
  }
  const stuck = await pair.sql`
    select g.name, p.name as partition, p.head, c.* from regent.cursors c
      join regent.partitions p on p.id = c.partition_id join regent.groups g on g.id = c.group_id
      where c.available_at < 'infinity' or c.committed <> p.head or c.acked <> '{}' or c.lease_id is not null`
  t.strictSame([...stuck], [])
})

/** Messages some group has yet to acknowledge. */
async function left (pair: Pair): Promise<number> {
  const [row] = await pair.sql<{ left: number }[]>`
    select sum(regent.unread(p.head, c.committed, c.acked))::int as left
      from regent.cursors c join regent.partitions p on p.id = c.partition_id`
  return row?.left ?? 0
}

t.test('a group that was being made before a message is deleted does not get it', async t => {
  const pair = await startPair(t)
  const partitionId = await pushTwo(pair)
  const held = await hold(t, pair.sql)
  // A pop by hand that has made the group and its cursors, and has not committed yet.
  await held.sql`
    select regent.seed_group_v1(g.id, 1000) from regent.queues q cross join lateral regent.ensure_group_v1(q.id, 'new', 'all', null) as g
      where q.name = ${QUEUE}`
  const removed = remove(pair.first, partitionId, 'a')
  await untilBlocked(pair.sql)
  await held.commit()
  t.equal(await removed, true)
  t.strictSame((await pop(pair.second, `${QUEUE}?consumerGroup=new&batch=9`)).map(each => each.transactionId), ['b'])
})

t.test('a group that is made while a message is being deleted does not get it', async t => {
  const pair = await startPair(t)
  const partitionId = await pushTwo(pair)
  await pop(pair.first, `${QUEUE}?consumerGroup=old`)
  const held = await hold(t, pair.sql)
  await held.sql`select from regent.cursors for update`
  const removed = remove(pair.first, partitionId, 'a')
  await untilBlocked(pair.sql)
  // The deletion holds the partition, so a group made now would not know whether there is more to come; it waits instead.
  const popped = pop(pair.second, `${QUEUE}?consumerGroup=new&batch=9`)
  await untilBlocked(pair.sql, 2)
  await held.commit()
  t.equal(await removed, true)
  t.strictSame((await popped).map(each => each.transactionId), ['b'])
})

t.test('a delivery that is taken back does not bring what was deleted meanwhile', async t => {
  const pair = await startPair(t)
  const partitionId = await pushTwo(pair)
  t.equal((await pop(pair.first, `${QUEUE}?consumerGroup=g&autoAck=true&batch=9`)).length, 2)
  t.equal(await remove(pair.first, partitionId, 'a'), true)
  // As for a client that has gone before its answer reached it.
  await pair.sql`
    select regent.release_v2(array[c.partition_id], array[c.group_id], array[null::uuid], array[1::bigint], array[2::bigint], 0)
      from regent.cursors c join regent.groups g on g.id = c.group_id where g.name = 'g'`
  t.strictSame((await pop(pair.second, `${QUEUE}?consumerGroup=g&batch=9`)).map(each => each.transactionId), ['b'])
})

/** Push a and b to one partition of a queue; the partition's id. */
async function pushTwo (pair: Pair): Promise<string> {
  const [a] = await push(pair.first, [{ queue: QUEUE, transactionId: 'a', payload: 1 }, { queue: QUEUE, transactionId: 'b', payload: 2 }])
  return a.partition_id
}

t.test('a message is deleted only after the push that holds its partition, and what that brings stays', async t => {
  const pair = await startPair(t)
  const [a] = await push(pair.first, [{ queue: QUEUE, transactionId: 'a', payload: 1 }])
  const messages = await pop(pair.first, QUEUE)
  const held = await hold(t, pair.sql)
  await held.sql`update regent.partitions set last_at = last_at`
  const removed = remove(pair.first, a.partition_id, 'a')
  await untilBlocked(pair.sql)
  const pushed = push(pair.second, [{ queue: QUEUE, transactionId: 'b', payload: 2 }])
  await held.commit()
  t.equal(await removed, true)
  await pushed
  t.strictSame((await pop(pair.second, `${QUEUE}?wait=true&timeout=15000`)).map(each => each.transactionId), ['b'])
  t.strictSame((await ack(pair.first, messages)).map(({ success }) => success), [true])
})
