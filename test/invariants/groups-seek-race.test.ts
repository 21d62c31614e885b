import t from 'tap'
import type { Service } from '../support.ts'
import { until } from '../support.ts'
import { ack, all, blocked, hold, numbers, partitionIds, pick, pop, push, pushByHand, startPair, untilBlocked } from './support.ts'
import type { Pair } from './support.ts'

// A seek may find that a group is to stand at the end of a partition, and calls it drained; a push that is about to
// commit then has looked at the cursor already. As in drained-mark.test.ts the safety net is off: what is left lying
// shows as a pop that stays empty.
const SOON = 'wait=true&timeout=5000&autoAck=true&consumerGroup=g'

async function seek (service: Service, queue: string, body: object, partition?: string): Promise<any> {
  const { status, json, text } = await service.call('POST',
    `/api/v1/consumer-groups/g/queues/${queue}${partition === undefined ? '' : `/partitions/${partition}`}/seek`, body)
  if (status !== 200) throw new Error(text)
  return json
}

/** A queue with a partition of one message that the group has not read; the partition's number. */
async function oneUnread (pair: Pair, queue: string): Promise<number> {
  await push(pair.first, [{ queue, transactionId: 'one', payload: 1 }])
  const [message] = await pop(pair.first, `${queue}?consumerGroup=g`)
  await ack(pair.first, message === undefined ? [] : [message], 'g')
  await push(pair.first, [{ queue, transactionId: 'two', payload: 2 }])
  return (await partitionIds(pair.sql, queue)).get('Default') ?? 0
}

/** Cursors that are marked as drained though there is something to read. */
async function wronglyDrained (pair: Pair): Promise<number> {
  const [row] = await pair.sql`
    select count(*)::int as n from regent.cursors c join regent.partitions p on p.id = c.partition_id
      where c.available_at = 'infinity' and c.committed <> p.head`
  return row?.n
}

for (const [what, body, partition] of [
  ['to the end', { toEnd: true }, undefined],
  ['to the end of one partition', {}, 'Default'],
  ['to a time that nothing is later than', { timestamp: '2999-01-01' }, undefined]
] as const) {
  t.test(`a seek ${what} does not call a partition drained that a push is about to commit to`, async t => {
    const pair = await startPair(t)
    const id = await oneUnread(pair, 'q')
    const held = await hold(t, pair.sql)
    await pushByHand(held.sql, [id], [['three']])
    // It finds the cursor available, leaves it alone, and does not wait for the push either.
    const sought = await seek(pair.first, 'q', body, partition)
    t.ok(sought.partitionsUpdated === 1 || sought.updated === true)
    await held.commit()
    t.strictSame((await pop(pair.second, `q?${SOON}`)).map(message => message.transactionId), ['three'])
  })
}

t.test('a pop that waits gets what a push commits after a seek to the end, though nobody announces it', async t => {
  const pair = await startPair(t)
  const id = await oneUnread(pair, 'parked')
  const [leased] = await pop(pair.first, 'parked?consumerGroup=g')
  t.equal(leased?.transactionId, 'two')
  const parked = pop(pair.second, `parked?${SOON}`)
  await until(async () => (await pair.second.call('GET', '/health')).json.load.parkedPops > 0)
  const held = await hold(t, pair.sql)
  await pushByHand(held.sql, [id], [['three']])
  await seek(pair.first, 'parked', { toEnd: true })
  await held.commit()
  t.strictSame((await parked).map(message => message.transactionId), ['three'])
})

t.test('a push behind a seek that called the partition drained makes it available again', async t => {
  const pair = await startPair(t)
  const id = await oneUnread(pair, 'behind')
  const held = await hold(t, pair.sql)
  // By hand, so that it stays open after it has marked the cursor.
  const [row] = await held.sql`
    select s.moved from regent.partitions p, regent.groups g, regent.seek_step_v1(p.queue_id, g.id, 'end', null, 0, ${id}, 10) s where p.id = ${id}`
  t.same(row, { moved: 1 })
  const pushed = push(pair.second, [{ queue: 'behind', transactionId: 'three', payload: 3 }])
  await untilBlocked(pair.sql)
  await held.commit()
  await pushed
  t.strictSame((await pop(pair.first, `behind?${SOON}`)).map(message => message.transactionId), ['three'])
})

t.test('an acknowledgement that waits for a seek is refused: its lease is over', async t => {
  const pair = await startPair(t)
  const id = await oneUnread(pair, 'fenced')
  const leased = await pop(pair.first, 'fenced?consumerGroup=g')
  const held = await hold(t, pair.sql)
  await held.sql`select s.moved from regent.partitions p, regent.groups g, regent.seek_step_v1(p.queue_id, g.id, 'start', null, 0, ${id}, 10) s where p.id = ${id}`
  const acked = ack(pair.second, leased, 'g')
  await untilBlocked(pair.sql)
  await held.commit()
  t.match(await acked, [{ success: false, error: 'Invalid or expired lease' }])
  t.strictSame((await pop(pair.second, 'fenced?consumerGroup=g&batch=9')).map(message => message.transactionId), ['one', 'two'])
})

t.test('seeks among pushes, pops and acknowledgements leave no message lying, hundreds of times', async t => {
  const pair = await startPair(t)
  const queue = 'hammered'
  const partitions = numbers(12).map(i => `p${i}`)
  const rounds = 30
  await push(pair.first, partitions.map(partition => ({ queue, partition, transactionId: `${partition}-first`, payload: 0 })))
  await pop(pair.first, `${queue}?consumerGroup=g&batch=99&partitions=99&autoAck=true`)
  for (const round of numbers(rounds)) {
    const work: Promise<unknown>[] = partitions.map(async (partition, i) =>
      await push(pick(pair.both, i), [{ queue, partition, transactionId: `${partition}-${round}`, payload: round }]))
    work.push(seek(pick(pair.both, round), queue, { toEnd: true }))
    work.push(...partitions.map(async (partition, i) => { if (i % 3 === 0) await seek(pick(pair.both, i), queue, {}, partition) }))
    work.push(pop(pick(pair.both, round + 1), `${queue}?consumerGroup=g&batch=5&partitions=5`).then(async messages => await ack(pair.first, messages, 'g')))
    work.push(pop(pick(pair.both, round), `${queue}?consumerGroup=g&batch=5&partitions=5&autoAck=true`))
    await all(work)
    const wrong = await wronglyDrained(pair)
    if (wrong > 0) throw new Error(`round ${round}: ${wrong} partitions have unread messages and are called drained`)
  }
  t.equal(await blocked(pair.sql), 0)
  // Whatever was not skipped comes, and nothing keeps its lease for ever.
  await push(pair.first, partitions.map(partition => ({ queue, partition, transactionId: `${partition}-last`, payload: 0 })))
  const last = new Set<string>()
  while (last.size < partitions.length) {
    const messages = await pop(pair.second, `${queue}?${SOON}&batch=99&partitions=99`)
    if (messages.length === 0) throw new Error(`only ${last.size} of ${partitions.length} came`)
    for (const { transactionId } of messages) if (transactionId.endsWith('-last')) last.add(transactionId)
  }
  t.equal(last.size, partitions.length)
})
