import t from 'tap'
import { until } from '../support.ts'
import { all, numbers, patience, pick, pop, push, startPair } from './support.ts'

// A partition is made with a cursor for every group there is; a group that is deleted at that moment must neither leave
// such a cursor behind for ever, nor must the group that takes its place miss the partition.
t.test('a group that is deleted again and again while partitions are made leaves nothing behind and misses nothing', async t => {
  const pair = await startPair(t)
  const queue = 'churned'
  const rounds = 25
  const width = 8
  const call = async (query: string): Promise<void> => {
    const { status, text } = await pair.second.call('DELETE', `/api/v1/consumer-groups/${query}`)
    if (status !== 200) throw new Error(text)
  }
  for (const round of numbers(rounds)) {
    await all<unknown>([
      ...numbers(width).map(async i => await push(pick(pair.both, i), [{ queue, partition: `${round}-${i}`, payload: 0 }])),
      pop(pair.first, `${queue}?consumerGroup=g&batch=99&partitions=99`),
      pop(pair.second, `${queue}?consumerGroup=g&batch=99&partitions=99&autoAck=true`),
      call('g'),
      call(`g/queues/${queue}?deleteMetadata=false`)
    ])
  }
  await call('g')
  const seen = new Set<string>()
  for (const isInTime = patience(); seen.size < rounds * width && isInTime();) {
    for (const { partition } of await pop(pair.first, `${queue}?consumerGroup=g&batch=99&partitions=99&wait=true&timeout=1000`)) seen.add(partition)
  }
  t.equal(seen.size, rounds * width, 'it begins anew in every partition')
  await until(async () => (await pair.sql`select from regent.removals`).length === 0, 60_000)
  const orphans = await pair.sql`select distinct c.group_id from regent.cursors c where not exists (select from regent.groups g where g.id = c.group_id)`
  t.strictSame([...orphans], [], 'no cursors of deleted groups')
  const missing = await pair.sql`
    select p.name from regent.groups g join regent.partitions p on p.queue_id = g.queue_id
      where not exists (select from regent.cursors c where c.partition_id = p.id and c.group_id = g.id)`
  t.strictSame([...missing], [], 'and no partition without one')
})
