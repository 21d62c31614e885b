import t from 'tap'
import { messageLine } from '../../../services/log/line.ts'
import { messageId } from '../../../services/log/ids.ts'
import type { Pool } from '../../../services/database/pool.ts'
import type { Run } from '../../../services/poll/types.ts'
import { Ack } from '../../../services/queue/ack.ts'
import { Deliveries } from '../../../services/queue/deliveries.ts'
import type { Acknowledgement } from '../../../services/queue/types.ts'
import { RandomJson } from '../json/random-json.ts'

const LEASE = '00000000-0001-4000-a000-000000000001'
// Whatever is delivered here is remembered here: the database is not asked.
const NO_POOL = { call: async () => { throw new Error('asked') } } as unknown as Pool

function runOf (partitionId: number, first: number, ids: string[], skip: string | null = null): Run {
  const body = ids.map(id => messageLine(JSON.stringify(id), null, null, '{"id":"a"}')).join('\n')
  return { partitionId, partition: `p${partitionId}`, groupId: 1, first, last: first + ids.length - 1, createdAt: '', body, skip, attempts: null }
}

function word (partitionId: number, transactionId: string): Acknowledgement {
  return { transactionId, partitionId: messageId(partitionId, 0), group: 'g', status: 'completed', leaseId: LEASE, error: '' }
}

async function positions (runs: Run[], words: Acknowledgement[], lengths?: number[]): Promise<(number | null)[]> {
  const deliveries = new Deliveries(1_000_000)
  deliveries.remember({ queue: 'q', namespace: '', task: '', leaseId: LEASE, runs })
  const ack = new Ack({ pool: NO_POOL, deliveries, scopes: null, onAvailable: () => {} })
  return (await ack.place(words, lengths)).map(placed => placed?.position ?? null)
}

t.test('places words in the order of their delivery, and in any other', async t => {
  const ids = ['a', 'ü"', '', 'b\\', '{"transactionId":"a"', '😀', 'c']
  const runs = [runOf(1, 5, ids.slice(0, 3)), runOf(1, 8, ids.slice(3)), runOf(2, 1, ['a', 'b'])]
  const words = ids.map(id => word(1, id))
  t.same(await positions(runs, words), [5, 6, 7, 8, 9, 10, 11])
  t.same(await positions(runs, words.slice(0, 2)), [5, 6])
  t.same(await positions(runs, words.toReversed()), [11, 10, 9, 8, 7, 6, 5])
  t.same(await positions(runs, [...words, word(2, 'a'), word(2, 'b')]), [5, 6, 7, 8, 9, 10, 11, 1, 2])
  t.same(await positions(runs, [word(1, 'a'), word(2, 'a'), word(1, 'ü"'), word(2, 'b'), word(1, 'a')]), [5, 1, 6, 2, 5])
})

t.test('places nothing where a message was left out of the delivery', async t => {
  t.same(await positions([runOf(1, 1, ['a', 'b', 'c'], '{[1,2),[3,4)}')], [word(1, 'b')]), [2])
})

t.test('one caller\'s words about an id that is there several times are about one message each, in order', async t => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.comment(`seed ${seed}`)
  const random = new RandomJson(seed)
  for (let round = 0; round < 3000; round++) {
    const ids = Array.from({ length: 1 + random.below(6) }, () => random.pick(['a', 'b', 'c', '"']))
    const split = random.below(ids.length + 1)
    const runs = [runOf(1, 1, ids.slice(0, split)), runOf(1, split + 1, ids.slice(split)), runOf(2, 1, ids)].filter(({ first, last }) => last >= first)
    const callers = Array.from({ length: 1 + random.below(3) }, () => random.below(3) === 0
      ? Array.from({ length: random.below(5) }, () => word(1 + random.below(2), random.pick(ids)))
      : [...ids.slice(0, random.below(ids.length + 1)).map(id => word(1, id)), ...(random.below(2) === 0 ? ids.map(id => word(1 + random.below(2), id)) : [])])
    const expected = callers.flatMap(words => words.map(({ transactionId, partitionId }, i) => {
      const earlier = words.slice(0, i).filter(other => other.transactionId === transactionId && other.partitionId === partitionId).length
      const places = ids.flatMap((id, place) => id === transactionId ? [place + 1] : [])
      return places[Math.min(earlier, places.length - 1)] ?? null
    }))
    const found = await positions(runs, callers.flat(), callers.map(words => words.length))
    if (JSON.stringify(found) !== JSON.stringify(expected)) t.same(found, expected, JSON.stringify({ ids, callers: callers.map(words => words.map(({ transactionId }) => transactionId)) }))
  }
})
