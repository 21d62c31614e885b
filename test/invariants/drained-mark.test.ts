import t from 'tap'
import type { Pair } from './support.ts'
import { ack, blocked, configure, hold, numbers, partitionIds, pick, pop, push, pushByHand, startPair, untilBlocked } from './support.ts'
import { until } from '../support.ts'

// The race: whoever finds nothing left to read marks the cursor as drained, while a push that has already looked at
// the cursor, and will not look again, is about to commit. Nothing wakes a reader for that message afterwards, and with
// the safety net off nobody ever looks: a lost mark shows as a poll that stays empty.
const SOON = 'wait=true&timeout=5000'

/** A queue with one message in one partition; the partition's number. */
async function oneMessage (pair: Pair, queue: string): Promise<number> {
  await push(pair.first, [{ queue, transactionId: 'one', payload: 1 }])
  return (await partitionIds(pair.sql, queue)).get('Default') ?? 0
}

t.test('an acknowledgement does not call a partition drained that a push is about to commit to', async t => {
  const pair = await startPair(t)
  const partition = await oneMessage(pair, 'acked')
  const messages = await pop(pair.first, 'acked')
  const held = await hold(t, pair.sql)
  await pushByHand(held.sql, [partition], [['two']])
  const acked = await ack(pair.second, messages)
  t.equal(acked[0]?.success, true, 'and does not wait for it either')
  await held.commit()
  const next = await pop(pair.second, `acked?${SOON}`)
  t.strictSame(next.map(message => message.transactionId), ['two'])
})

t.test('a parked pop gets what a push commits that nobody announces', async t => {
  const pair = await startPair(t)
  const partition = await oneMessage(pair, 'parked')
  const messages = await pop(pair.first, 'parked')
  const parked = pop(pair.second, `parked?${SOON}`)
  const held = await hold(t, pair.sql)
  await pushByHand(held.sql, [partition], [['two']])
  await ack(pair.first, messages)
  await held.commit()
  t.strictSame((await parked).map(message => message.transactionId), ['two'])
})

t.test('a pop with autoAck that takes the last message does not call the partition drained under a push', async t => {
  const pair = await startPair(t)
  const partition = await oneMessage(pair, 'auto')
  // The group has to exist: a new one takes another path.
  await configure(pair.first, 'auto', {})
  t.equal((await pop(pair.first, 'auto?autoAck=true')).length, 1)
  await push(pair.first, [{ queue: 'auto', transactionId: 'two', payload: 2 }])
  const held = await hold(t, pair.sql)
  await pushByHand(held.sql, [partition], [['three']])
  t.strictSame((await pop(pair.second, 'auto?autoAck=true')).map(message => message.transactionId), ['two'])
  await held.commit()
  t.strictSame((await pop(pair.second, `auto?autoAck=true&${SOON}`)).map(message => message.transactionId), ['three'])
})

t.test('a pop that finds nothing does not call the partition drained under a push', async t => {
  const pair = await startPair(t)
  const partition = await oneMessage(pair, 'empty')
  await ack(pair.first, await pop(pair.first, 'empty'))
  // Available with nothing to read, as an acknowledgement leaves it that ran into a push which then failed.
  await pair.sql`update regent.cursors set available_at = clock_timestamp()`
  const held = await hold(t, pair.sql)
  await pushByHand(held.sql, [partition], [['two']])
  // The push has found the cursor available and left it alone.
  t.strictSame(await pop(pair.second, 'empty'), [])
  await held.commit()
  t.strictSame((await pop(pair.second, `empty?${SOON}`)).map(message => message.transactionId), ['two'])
})

t.test('a group that is new does not find a partition drained that a push is about to commit to', async t => {
  const pair = await startPair(t)
  const partition = await oneMessage(pair, 'seeded')
  const held = await hold(t, pair.sql)
  await pushByHand(held.sql, [partition], [['two']])
  t.strictSame(await pop(pair.second, 'seeded?consumerGroup=g&subscriptionMode=new'), [])
  await held.commit()
  const messages = await pop(pair.second, `seeded?consumerGroup=g&${SOON}`)
  t.ok(messages.some(message => message.transactionId === 'two'))
})

t.test('a push behind an acknowledgement that called the partition drained makes it available again', async t => {
  const pair = await startPair(t)
  await oneMessage(pair, 'behind')
  const [message] = await pop(pair.first, 'behind')
  const held = await hold(t, pair.sql)
  // By hand, so that it stays open after it has marked the cursor.
  const [row] = await held.sql`
    select lease_ok from regent.ack_v1(array(select partition_id from regent.cursors), array['__QUEUE_MODE__'], array[${message?.leaseId ?? ''}],
      array[1], array[1], array[1], array[0], '{}', '{}', '')`
  t.same(row, { lease_ok: true })
  const [mark] = await held.sql`select available_at = 'infinity' as drained from regent.cursors`
  t.same(mark, { drained: true })
  const pushed = push(pair.second, [{ queue: 'behind', transactionId: 'two', payload: 2 }])
  await untilBlocked(pair.sql)
  await held.commit()
  await pushed
  t.strictSame((await pop(pair.first, `behind?${SOON}`)).map(next => next.transactionId), ['two'])
})

t.test('a push that is rolled back leaves a partition that is drained by the next look', async t => {
  const pair = await startPair(t)
  const partition = await oneMessage(pair, 'undone')
  const messages = await pop(pair.first, 'undone')
  const held = await hold(t, pair.sql)
  await pushByHand(held.sql, [partition], [['never']])
  await ack(pair.first, messages)
  await held.rollback()
  t.strictSame(await pop(pair.first, 'undone'), [])
  const [mark] = await pair.sql`select available_at = 'infinity' as drained from regent.cursors`
  t.same(mark, { drained: true })
  t.equal(await blocked(pair.sql), 0)
})

for (const autoAck of [false, true]) {
  const how = autoAck ? 'pops with autoAck' : 'acknowledgements'
  t.test(`no message is left lying when ${how} empty partitions under pushes, many hundred times`, async t => {
    const pair = await startPair(t)
    const queue = 'hammered'
    const partitions = numbers(12)
    const rounds = 60
    await push(pair.first, partitions.map(p => ({ queue, partition: `p${p}`, transactionId: `${p}-0`, payload: 0 })))
    await Promise.all(partitions.map(async p => {
      const path = `${queue}/partition/p${p}?${SOON}&autoAck=${autoAck}`
      for (let round = 0; round < rounds; round++) {
        const next = { queue, partition: `p${p}`, transactionId: `${p}-${round + 1}`, payload: 0 }
        if (autoAck) {
          // The pop that takes the last message and the push of the next one meet in the database.
          const [messages] = await Promise.all([pop(pick(pair.both, round), path), push(pick(pair.both, round + 1), [next])])
          if (messages[0]?.transactionId !== `${p}-${round}`) throw new Error(`${p}-${round} was left lying, got ${JSON.stringify(messages)}`)
        } else {
          const messages = await pop(pick(pair.both, round), path)
          if (messages[0]?.transactionId !== `${p}-${round}`) throw new Error(`${p}-${round} was left lying, got ${JSON.stringify(messages)}`)
          const [acked] = await Promise.all([ack(pick(pair.both, round >> 1), messages), push(pick(pair.both, round + 1), [next])])
          if (acked[0]?.success !== true) throw new Error(`not acknowledged: ${JSON.stringify(acked)}`)
        }
      }
    }))
    t.pass(`${partitions.length * rounds} times`)
    await until(async () => await blocked(pair.sql) === 0)
  })
}
