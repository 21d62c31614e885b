import t from 'tap'
import type { Test } from 'tap'
import type { Acked, Message, Pair } from './support.ts'
import { ack, all, configure, hold, numbers, patience, pick, pop, push, startPair, untilBlocked } from './support.ts'
import { until } from '../support.ts'

// The race: a lease ends while its acknowledgement is under way and somebody else pops the same messages. The lease id
// is the fencing token, checked by the database's clock under the cursor's lock: either the acknowledgement is accepted
// and nobody gets the message again, or it is refused and somebody does.
const REFUSED = 'Invalid or expired lease'

/** One leased message in a queue with leases of a second. */
async function oneLeased (t: Test, queue: string): Promise<{ pair: Pair, messages: Message[] }> {
  const pair = await startPair(t)
  await configure(pair.first, queue, { leaseTime: 1 })
  await push(pair.first, [{ queue, transactionId: 'one', payload: 1 }])
  return { pair, messages: await pop(pair.first, queue) }
}

/** Wait until every lease has ended by the database's clock. */
async function untilLeasesEnded ({ sql }: Pair): Promise<void> {
  await until(async () => (await sql`select from regent.cursors where lease_id is not null and available_at > clock_timestamp()`).length === 0)
}

t.test('an acknowledgement that waits for its cursor until the lease has ended is refused, and the message comes again', async t => {
  const { pair, messages } = await oneLeased(t, 'late')
  const held = await hold(t, pair.sql)
  await held.sql`select from regent.cursors for update`
  const acking = ack(pair.first, messages)
  await untilBlocked(pair.sql)
  await untilLeasesEnded(pair)
  await held.commit()
  t.match(await acking, [{ success: false, error: REFUSED }])
  const again = await pop(pair.second, 'late?wait=true&timeout=5000')
  t.strictSame(again.map(message => message.transactionId), ['one'])
  t.match(await ack(pair.second, again), [{ success: true }])
})

t.test('an acknowledgement that waits for the pop which takes its messages over is refused', async t => {
  const { pair, messages } = await oneLeased(t, 'taken')
  await untilLeasesEnded(pair)
  const held = await hold(t, pair.sql)
  await held.sql`select from regent.cursors for update`
  // The new lease is written before the old one's acknowledgement gets to read the row.
  await held.sql`
    update regent.cursors set lease_id = regent.lease_id(group_id, '0123456789abcdef01'), available_at = clock_timestamp() + interval '1 minute'`
  const acking = ack(pair.second, messages)
  await untilBlocked(pair.sql)
  await held.commit()
  t.match(await acking, [{ success: false, error: REFUSED }])
  const [cursor] = await pair.sql`select committed::int from regent.cursors`
  t.same(cursor, { committed: 0 }, 'and moves nothing')
})

t.test('a pop does not take over messages whose acknowledgement is under way', async t => {
  const { pair, messages } = await oneLeased(t, 'early')
  const held = await hold(t, pair.sql)
  const [row] = await held.sql`
    select lease_ok from regent.ack_v1(array(select partition_id from regent.cursors), array['__QUEUE_MODE__'], array[${messages[0]?.leaseId ?? ''}],
      array[1], array[1], array[1], array[0], '{}', '{}', '')`
  t.same(row, { lease_ok: true })
  await untilLeasesEnded(pair)
  const competing = pop(pair.second, 'early?wait=true&timeout=5000')
  t.strictSame(await pop(pair.second, 'early'), [])
  t.strictSame(await pop(pair.first, 'early/partition/Default'), [])
  await held.commit()
  await push(pair.first, [{ queue: 'early', transactionId: 'two', payload: 2 }])
  t.strictSame((await competing).map(message => message.transactionId), ['two'])
})

t.test('an acknowledgement under a lease that somebody took over changes nothing, through either instance', async t => {
  const { pair, messages } = await oneLeased(t, 'old')
  const again = await pop(pair.second, 'old?wait=true&timeout=5000')
  t.equal(again.length, 1)
  for (const service of pair.both) t.match(await ack(service, messages), [{ success: false, error: REFUSED }])
  t.match(await ack(pair.first, again), [{ success: true }])
  t.match(await ack(pair.second, messages), [{ success: true }], 'what is acknowledged already may be acknowledged again')
})

t.test('acknowledgements that race the end of their leases: accepted or delivered again, never both, never stuck', async t => {
  const pair = await startPair(t)
  const queue = 'raced'
  const partitions = 250
  const rounds = 3
  await configure(pair.first, queue, { leaseTime: 1 })
  let accepted = 0
  let refused = 0
  let takenOver = 0
  for (let round = 0; round < rounds; round++) {
    await push(pair.first, numbers(partitions).map(p => ({ queue, partition: `p${p}`, transactionId: `${round}-${p}`, payload: 0 })))
    const done = new Set<string>()
    const faults: string[] = []
    const leased: Message[] = []
    const goesOn = patience()
    while (leased.length < partitions && goesOn()) leased.push(...await pop(pick(pair.both, leased.length), `${queue}?batch=64&partitions=64&wait=true&timeout=5000`))

    // Competitors are parked on both instances, woken when the leases end.
    const competitors = numbers(6).map(async reader => {
      while (done.size < partitions && goesOn()) {
        const messages = await pop(pick(pair.both, reader), `${queue}?batch=16&partitions=16&wait=true&timeout=500`)
        for (const { transactionId } of messages) if (done.has(transactionId)) faults.push(`${transactionId} was delivered after an accepted acknowledgement`)
        takenOver += messages.length
        for (const { success, transactionId } of await ack(pick(pair.both, reader + 1), messages)) if (success) done.add(transactionId)
      }
    })
    // The moment is the database's; the scatter around it is what makes some come before and some after.
    const [{ ms = 0 } = {}] = await pair.sql<{ ms: number }[]>`
      select extract(epoch from min(available_at) - clock_timestamp())::float8 * 1000 as ms from regent.cursors where lease_id is not null`
    const acking = leased.map(async (message, i) => {
      await new Promise(resolve => setTimeout(resolve, ms - 200 + 240 * i / partitions))
      const [answer] = await ack(pick(pair.both, i), [message]) as [Acked]
      if (answer.success) {
        // Also when the one who took it over has acknowledged it already.
        accepted++
        done.add(message.transactionId)
      } else {
        refused++
        if (answer.error !== REFUSED) faults.push(`${message.transactionId}: ${answer.error}`)
      }
    })
    await all([...acking, ...competitors])
    t.strictSame(faults, [], `round ${round}: nothing accepted came again`)
  }
  t.ok(accepted > 0 && refused > 0 && takenOver > 0, `all happened: ${accepted} accepted, ${refused} refused, ${takenOver} taken over`)
  t.strictSame(await pop(pair.first, `${queue}?batch=1000&partitions=1000`), [], 'nothing is delivered again')
})
