import t from 'tap'
import { createDatabase, until } from '../support.ts'
import { ackAll, parked, payloads, poll, startWatched, untilParked } from './parked.ts'

t.test('polls for the same thing are served in the order in which they came', async t => {
  const { service } = await startWatched(t)
  const polls: ReturnType<typeof poll>[] = []
  for (let i = 0; i < 12; i++) {
    polls.push(poll(service, 'line'))
    await untilParked(service, i + 1)
  }
  for (let i = 0; i < 12; i++) {
    await service.push([{ queue: 'line', partition: `p${i}`, payload: i }])
    await untilParked(service, 11 - i)
    t.strictSame(polls.map(({ result }) => result !== null), polls.map((_, k) => k <= i), `${i + 1} answered, the oldest ones`)
    t.strictSame(payloads(await polls[i]!.answer), [i])
  }
})

t.test('one push of many partitions goes to as many polls, a partition to each', async t => {
  const { service } = await startWatched(t)
  const polls = Array.from({ length: 100 }, () => poll(service, 'many?batch=10'))
  await untilParked(service, 100)
  await service.push(Array.from({ length: 100 }, (_, i) => ({ queue: 'many', partition: `p${i}`, payload: i })))
  const answers = await Promise.all(polls.map(async ({ answer }) => await answer))
  t.ok(answers.every(({ json }) => json.messages.length === 1))
  t.equal(new Set(answers.map(({ json }) => json.partitionId)).size, 100)
  t.equal(new Set(answers.map(({ json }) => json.leaseId)).size, 100)
})

t.test('a pop over queues takes from the queue with the highest priority', async t => {
  const { service } = await startWatched(t)
  for (const [queue, priority] of [['shop.low', 1], ['shop.high', 9], ['shop.middle', 5]] as const) {
    await service.call('POST', '/api/v1/configure', { queue, namespace: 'shop', options: { priority } })
    await service.push([{ queue, payload: queue }])
  }
  const order = []
  for (let i = 0; i < 3; i++) order.push(...payloads(await poll(service, '?namespace=shop').answer))
  t.strictSame(order, ['shop.high', 'shop.middle', 'shop.low'])
})

t.test('a group that a poll creates on a queue with thousands of partitions gets everything', async t => {
  const databaseUrl = await createDatabase(t)
  const { service } = await startWatched(t, { databaseUrl })
  const { service: other } = await startWatched(t, { databaseUrl })
  const COUNT = 5500
  const items = Array.from({ length: COUNT }, (_, i) => ({ queue: 'wide', partition: `p${i}`, payload: i }))
  t.equal((await service.push(items)).status, 201)
  const seen: number[] = []
  let isDone = false
  // Both instances make the group at the same time, while partitions are still being added.
  const consume = async (on: typeof service): Promise<void> => {
    while (!isDone) {
      const answer = await poll(on, 'wide?consumerGroup=new&batch=1000&partitions=1000', 500).answer
      seen.push(...payloads(answer) as number[])
      if (answer.json.messages.length > 0) await ackAll(on, answer)
      if (seen.length >= COUNT + 200) isDone = true
    }
  }
  const consumers = [consume(service), consume(other)]
  for (let i = 0; i < 200; i += 20) {
    await other.push(Array.from({ length: 20 }, (_, k) => ({ queue: 'wide', partition: `p${COUNT + i + k}`, payload: COUNT + i + k })))
  }
  await until(() => isDone, 40_000).finally(() => { isDone = true })
  await Promise.all(consumers)
  t.strictSame(seen.sort((a, b) => a - b), Array.from({ length: COUNT + 200 }, (_, i) => i), 'each once')
  t.equal(await parked(service), 0)
})
