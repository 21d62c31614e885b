import t from 'tap'
import { until } from '../support.ts'
import { ack, all, numbers, pick, pop, positionOf, push, seededRandom, startPair } from './support.ts'

const QUEUE = 'cleared'
const PARTITIONS = ['p0', 'p1', 'p2']

t.test('a queue that is cleared under pushes and readers loses nothing uncounted and leaves no reader behind', async t => {
  const pair = await startPair(t)
  const random = seededRandom(11)
  const sent = new Set<string>()
  const delivered = new Map<string, number[]>()
  const refused: unknown[] = []
  const stop = new AbortController()
  let cleared = 0
  const pushed = new AbortController()

  const produce = async (client: number): Promise<void> => {
    for (const round of numbers(50)) {
      const answers = await push(pick(pair.both, client + round), numbers(1 + random(5)).map(i =>
        ({ queue: QUEUE, partition: pick(PARTITIONS, random(3)), transactionId: `${client}-${round}-${i}`, payload: round })))
      for (const { message_id: id } of answers) sent.add(id)
    }
  }
  const clear = async (): Promise<void> => {
    const answer = await pick(pair.both, random(2)).call('DELETE', `/api/v1/queues/${QUEUE}/clear${random(2) === 0 ? '' : `?partition=${pick(PARTITIONS, random(3))}`}`)
    if (answer.status !== 200) throw new Error(`clear was answered ${answer.status} ${answer.text}`)
    cleared += answer.json.cleared as number
  }
  // One reader of each partition for each group: what it gets is in the order of the deliveries.
  const read = async (partition: string, group: string): Promise<void> => {
    const own: number[] = []
    delivered.set(`${group} ${partition}`, own)
    while (!stop.signal.aborted) {
      const messages = await pop(pair.first, `${QUEUE}/partition/${partition}?consumerGroup=${group}&batch=6&wait=true&timeout=500`)
      own.push(...messages.map(positionOf))
      for (const answer of messages.length === 0 ? [] : await ack(pair.first, messages, group)) if (!answer.success) refused.push(answer)
    }
  }

  await push(pair.first, PARTITIONS.map(partition => ({ queue: QUEUE, partition, transactionId: `${partition}-start`, payload: 0 })))
    .then(answers => { for (const { message_id: id } of answers) sent.add(id) })
  const readers = all(['one', 'two'].flatMap(group => PARTITIONS.map(async partition => { await read(partition, group) })))
  try {
    const clearing = (async () => { while (!pushed.signal.aborted) await clear() })()
    await all(numbers(3).map(produce)).finally(() => { pushed.abort() })
    await clearing
    // The last messages have nobody but the readers to look after them: the safety net is off.
    await push(pair.second, PARTITIONS.map(partition => ({ queue: QUEUE, partition, transactionId: `${partition}-last`, payload: 0 })))
      .then(answers => { for (const { message_id: id } of answers) sent.add(id) })
    await until(async () => (await pair.sql`
      select from regent.cursors c join regent.partitions p on p.id = c.partition_id where c.committed < p.head`).length === 0, 60_000)
  } finally {
    stop.abort()
    await readers
  }

  t.strictSame(refused, [])
  const [log] = await pair.sql<{ stored: number, heads: number }[]>`
    select sum(p.head - p.tail)::int as stored, sum(p.head)::int as heads from regent.partitions p`
  t.equal(log?.heads, sent.size)
  t.equal((log?.stored ?? 0) + cleared, sent.size, 'every message is there or was counted as cleared')
  for (const [reader, positions] of delivered) {
    t.strictSame(positions, [...new Set(positions)].sort((a, b) => a - b), `${reader}: each once, in order`)
  }
  t.ok([...delivered.values()].some(positions => positions.some((position, i) => position > (positions[i - 1] ?? 0) + 1)), 'some were never delivered')
  const wrong = await pair.sql`
    select from regent.segments s join regent.partitions p on p.id = s.partition_id where s.first <= p.tail`
  t.equal(wrong.length, 0, 'no segment is left that was cleared')
  const stuck = await pair.sql`select * from regent.cursors c where c.acked <> '{}' or c.lease_id is not null`
  t.strictSame([...stuck], [])
})
