import t from 'tap'
import type { Test } from 'tap'
import { Journal, startReaders } from './journal.ts'
import { all, blocked, hold, messagesOf, numbers, partitionIds, pick, push, pushByHand, startPair } from './support.ts'
import type { Pair } from './support.ts'
import { messageId } from '../../services/log/ids.ts'
import { until } from '../support.ts'

const CLIENTS_PER_INSTANCE = 8

interface Writing { pair: Pair, queue: string, journal: Journal, partitions: string[], pushes: number }

/** Every client pushes to partitions in turn, several messages at a time, numbered through. */
async function writeAll ({ pair, queue, journal, partitions, pushes }: Writing): Promise<void> {
  await all(pair.both.flatMap((service, instance) => numbers(CLIENTS_PER_INSTANCE).map(async number => {
    const client = `${instance}.${number}`
    let sequence = 0
    for (let turn = 0; turn < pushes; turn++) {
      const items = numbers(1 + (turn + number) % 4).map(i => ({
        queue,
        partition: pick(partitions, turn * 7 + number + (i >> 1)),
        transactionId: `${client}-${sequence + i}`,
        payload: { client, sequence: sequence + i }
      }))
      for (const [i, answer] of (await push(service, items)).entries()) {
        if (answer.status !== 'queued') throw new Error(`${answer.transaction_id} was answered ${answer.status}`)
        journal.sent(answer.transaction_id, answer.message_id, client, sequence + i)
      }
      sequence += items.length
    }
  })))
}

/**
 * One more writer, by hand: each time it takes its positions, keeps its transaction open until others have queued up
 * behind it, and commits. A reader that went past what is not committed yet would lose its messages.
 */
async function writeSlowly (t: Test, { pair, queue, journal, partitions }: Writing, rounds: number, isOver: () => boolean): Promise<number> {
  const ids = await partitionIds(pair.sql, queue)
  let sequence = 0
  let queuedUp = 0
  for (let round = 0; round < rounds && !isOver(); round++) {
    const targets = numbers(Math.min(5, partitions.length))
      .map(i => ids.get(pick(partitions, round * 3 + i)) ?? 0).sort((a, b) => a - b)
    const own = targets.map(() => [`slow-${sequence++}`, `slow-${sequence++}`, `slow-${sequence++}`])
    const held = await hold(t, pair.sql)
    const bases = await pushByHand(held.sql, targets, own)
    await until(async () => await blocked(pair.sql) >= 2 || isOver())
    if (!isOver()) queuedUp++
    for (const [i, list] of own.entries()) {
      for (const [k, id] of list.entries()) {
        journal.sent(id, messageId(pick(targets, i), pick(bases, i) + 1 + k), 'slow', Number(id.slice('slow-'.length)))
      }
    }
    await held.commit()
  }
  return queuedUp
}

async function run (t: Test, { partitionCount, groups, pushes }: { partitionCount: number, groups: string[], pushes: number }): Promise<void> {
  const pair = await startPair(t)
  const queue = 'orders'
  const partitions = numbers(partitionCount).map(i => `p${i}`)
  const journal = new Journal()
  const writing = { pair, queue, journal, partitions, pushes }
  for (const answer of await push(pair.first, partitions.map(partition => ({ queue, partition, transactionId: `first-${partition}`, payload: 0 })))) {
    journal.sent(answer.transaction_id, answer.message_id, 'first', journal.sentCount)
  }
  const readers = groups.map(group => startReaders({ instances: pair.both, queue, journal, group, partitions: Math.ceil(partitionCount / 8) }))
  t.teardown(async () => { await Promise.allSettled(readers.map(async reader => { await reader.stop() })) })
  let isWritten = false
  const [, queuedUp = 0] = await all<number | undefined>([
    writeAll(writing).then(() => undefined).finally(() => { isWritten = true }),
    writeSlowly(t, writing, 6, () => isWritten)
  ])
  t.ok(queuedUp >= 3, 'others have queued up behind the open transaction')
  // The slow writer tells nobody; should it have been the last, this wakes whoever waits.
  for (const answer of await push(pair.second, partitions.map(partition => ({ queue, partition, transactionId: `last-${partition}`, payload: 0 })))) {
    journal.sent(answer.transaction_id, answer.message_id, 'last', journal.sentCount)
  }
  for (const [i, group] of groups.entries()) {
    await readers[i]?.until(() => journal.sentCount)
    t.strictSame(journal.faults(group), [], `group ${group === '' ? 'none' : group}: every message once, in order`)
  }
  await all(readers.map(async reader => { await reader.stop() }))
  for (const [i, group] of groups.entries()) {
    const left = messagesOf(await pick(pair.both, i).pop(`${queue}?batch=1000&partitions=1000&consumerGroup=${group}`))
    t.strictSame(left, [], 'nothing is delivered again')
  }
  const [stored] = await pair.sql`select sum(head)::int as heads, (select sum(count)::int from regent.segments) as messages from regent.partitions`
  t.strictSame(stored, { heads: journal.sentCount, messages: journal.sentCount }, 'positions have no holes')
}

t.test('many writers on one partition: readers get every message once and in order', async t => {
  await run(t, { partitionCount: 1, groups: [''], pushes: 60 })
})

t.test('many writers on fifty partitions: readers get every message once and in order within each', async t => {
  await run(t, { partitionCount: 50, groups: [''], pushes: 60 })
})

t.test('three consumer groups on one partition each get every message once and in order', async t => {
  await run(t, { partitionCount: 1, groups: ['a', 'b', 'c'], pushes: 40 })
})

t.test('three consumer groups on fifty partitions each get every message once and in order', async t => {
  await run(t, { partitionCount: 50, groups: ['a', 'b', 'c'], pushes: 40 })
})
