import t from 'tap'
import type { Message } from './support.ts'
import { ack, all, configure, numbers, patience, pick, pop, push, seededRandom, startPair } from './support.ts'
import { until } from '../support.ts'

t.test('consumers that die with their leases: every message is acknowledged in the end, and none comes again after that', async t => {
  const pair = await startPair(t)
  const queue = 'jobs'
  const random = seededRandom(7)
  await configure(pair.first, queue, { leaseTime: 1 })
  const sent = numbers(600).map(i => ({ queue, partition: `p${i % 20}`, transactionId: `m${i}`, payload: i }))
  const done = new Set<string>()
  /** Acknowledgements whose answer nobody waited for: they may have been accepted or not. */
  const unknown = new Set<string>()
  const faults: string[] = []
  const deliveries = new Map<string, number>()
  let refused = 0

  const acknowledge = async (messages: Message[], turn: number): Promise<void> => {
    for (const answer of await ack(pick(pair.both, turn), messages)) {
      if (answer.success) done.add(answer.transactionId)
      else if (answer.error === 'Invalid or expired lease') refused++
      else faults.push(`${answer.transactionId}: ${answer.error}`)
    }
  }
  const late: Promise<void>[] = []
  const goesOn = patience()
  const consume = async (consumer: number): Promise<void> => {
    for (let turn = consumer; done.size + unknown.size < sent.length && goesOn(); turn++) {
      const messages = await pop(pick(pair.both, consumer), `${queue}?batch=12&partitions=3&wait=true&timeout=500`)
      for (const { transactionId } of messages) {
        if (done.has(transactionId)) faults.push(`${transactionId} was delivered after it had been acknowledged`)
        deliveries.set(transactionId, (deliveries.get(transactionId) ?? 0) + 1)
        // Being delivered shows that the acknowledgement nobody waited for did not get through.
        unknown.delete(transactionId)
      }
      const fate = random(10)
      if (fate < 3) continue // dies before it has done anything
      if (fate < 6) {
        // Dies half-way, having acknowledged some of them in no order.
        await acknowledge(messages.filter(() => random(2) === 0).reverse(), turn)
      } else if (fate === 6) {
        // Dies while its acknowledgement is under way.
        const acknowledgments = messages.map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId }))
        const gone = new AbortController()
        const sending = fetch(`${pick(pair.both, turn).url}/api/v1/ack/batch`, {
          method: 'POST', body: JSON.stringify({ acknowledgments }), headers: { 'content-type': 'application/json' }, signal: gone.signal
        }).then(async response => await response.text(), () => '')
        for (const { transactionId } of messages) unknown.add(transactionId)
        setImmediate(() => { gone.abort() })
        await sending
      } else if (fate === 7) {
        // Was thought dead: it wakes up about when its lease ends, or after.
        late.push(new Promise<void>(resolve => setTimeout(resolve, 800 + random(600))).then(async () => { await acknowledge(messages, turn) }))
      } else {
        await acknowledge(messages, turn)
      }
    }
  }
  await push(pair.first, sent.slice(0, 300))
  await all([
    ...numbers(8).map(consume),
    (async () => { for (let i = 300; i < 600; i += 20) await push(pick(pair.both, i / 20), sent.slice(i, i + 20)) })()
  ])
  await all(late)
  // What was left unknown and had not got through comes again; the rest is acknowledged for good.
  await until(async () => {
    const messages = await pop(pair.second, `${queue}?batch=1000&partitions=100`)
    for (const { transactionId } of messages) {
      if (done.has(transactionId)) faults.push(`${transactionId} was delivered after it had been acknowledged`)
      deliveries.set(transactionId, (deliveries.get(transactionId) ?? 0) + 1)
    }
    await acknowledge(messages, 0)
    const [{ left = 1 } = {}] = await pair.sql<{ left: number }[]>`
      select sum(p.head - c.committed)::int as left from regent.partitions p join regent.cursors c on c.partition_id = p.id`
    return left === 0
  }, 20_000)
  t.strictSame(faults, [])
  t.strictSame(sent.filter(({ transactionId }) => !done.has(transactionId) && !unknown.has(transactionId)), [], 'every message was accounted for')
  t.equal(deliveries.size, sent.length, 'every message was delivered')
  t.ok([...deliveries.values()].some(times => times > 2), 'some several times')
  t.ok(refused > 0, 'some acknowledgements came too late')
  const [{ copies = -1 } = {}] = await pair.sql<{ copies: number }[]>`select count(*)::int as copies from regent.dead_letters`
  t.equal(copies, 0, 'and leases that end are no failures')
})

t.test('what was acknowledged out of order stays acknowledged when the lease ends', async t => {
  const pair = await startPair(t)
  const queue = 'gaps'
  await configure(pair.first, queue, { leaseTime: 1 })
  await push(pair.first, numbers(9).map(i => ({ queue, transactionId: `${i}`, payload: i })))
  const first = await pop(pair.first, `${queue}?batch=6`)
  const some = first.filter((_, i) => [1, 2, 4].includes(i)).reverse()
  t.match(await ack(pair.second, some), some.map(() => ({ success: true })))
  const again = await pop(pair.second, `${queue}?batch=10&wait=true&timeout=5000`)
  t.strictSame(again.map(message => message.transactionId), ['0', '3', '5', '6', '7', '8'])
  t.match(await ack(pair.first, again), again.map(() => ({ success: true })))
  t.strictSame(await pop(pair.first, queue), [])
})

t.test('a consumer that hangs up while it waits takes no messages with it', async t => {
  const pair = await startPair(t)
  const queue = 'hung-up'
  const sent = numbers(150).map(i => `m${i}`)
  await push(pair.first, [{ queue, transactionId: 'first', payload: 0 }])
  await ack(pair.first, await pop(pair.first, queue))
  const got: string[] = []
  // With a lease of five minutes, what a gone consumer kept would not come again in time.
  await all(sent.map(async (transactionId, i) => {
    const gone = new AbortController()
    const waiting = pop(pick(pair.both, i), `${queue}?wait=true&timeout=60000`, { signal: gone.signal })
      .then(messages => { got.push(...messages.map(message => message.transactionId)); return messages }, () => [])
    const pushed = push(pick(pair.both, i + 1), [{ queue, partition: `p${i}`, transactionId, payload: 0 }])
    setTimeout(() => { gone.abort() }, i % 5)
    const messages = await waiting
    await pushed
    if (messages.length > 0) await ack(pair.first, messages)
  }))
  await until(async () => {
    const messages = await pop(pick(pair.both, got.length), `${queue}?batch=100&partitions=100`)
    got.push(...messages.map(message => message.transactionId))
    if (messages.length > 0) await ack(pair.second, messages)
    return got.length >= sent.length
  })
  t.strictSame(got.sort(), sent.sort(), 'every message once')
})
