import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { Service } from '../support.ts'
import type { Message } from './support.ts'
import { all, configure, eachAtOnce, hold, numbers, patience, pick, pop, push, seededRandom, startPair, untilBlocked } from './support.ts'
import { until } from '../support.ts'

interface Outcome { status: number, success: boolean, error?: string, code?: string }

/** Acknowledge messages and push others as one transaction. */
async function transact (service: Service, acks: object[], items: object[], requiredLeases: string[] = []): Promise<Outcome> {
  const operations = [...acks.map(fields => ({ type: 'ack', ...fields })), { type: 'push', items }]
  const answer = await service.call('POST', '/api/v1/transaction', { operations, requiredLeases })
  return { status: answer.status, ...answer.json }
}

function ackOf ({ transactionId, partitionId, leaseId }: Message): { transactionId: string, partitionId: string, leaseId: string } {
  return { transactionId, partitionId, leaseId }
}

/** Everything in a queue, by payload. */
async function contents (service: Service, queue: string): Promise<any[]> {
  const messages = await pop(service, `${queue}?batch=10000&partitions=1000&autoAck=true&consumerGroup=counter`)
  return messages.map(message => message.data)
}

t.test('concurrent transactions through two instances happen whole or not at all, whatever fails in them', async t => {
  const pair = await startPair(t)
  const inputs = numbers(400)
  const random = seededRandom(11)
  await push(pair.first, inputs.map(n => ({ queue: 'in', partition: `p${n % 40}`, transactionId: `in-${n}`, payload: n })))
  const expected: string[] = []
  const unexpected: string[] = []
  let failed = 0
  let left = inputs.length
  let attempts = 0
  const goesOn = patience()
  await all(numbers(8).map(async consumer => {
    while (left > 0 && unexpected.length === 0 && goesOn()) {
      const messages = await pop(pick(pair.both, consumer), 'in?batch=8&partitions=2&wait=true&timeout=500')
      for (const [turn, fault] of [random(4), -1].entries()) {
        if (messages.length === 0) break
        // Without ids of their own, so that what a failed attempt left behind would be counted.
        const attempt = `${consumer}/${attempts++}`
        const items = messages.flatMap(({ data }) => ['a', 'b'].map(out => ({ queue: `out-${out}`, partition: `p${data % 7}`, payload: `${data} ${attempt}` })))
        const acks: object[] = messages.map(ackOf)
        const spoilt = random(acks.length)
        if (fault === 0) acks[spoilt] = { ...acks[spoilt], leaseId: randomUUID() }
        if (fault === 1) acks[spoilt] = { ...acks[spoilt], transactionId: 'of no message' }
        if (fault === 2) acks[spoilt] = { ...acks[spoilt], consumerGroup: 'of nobody' }
        const outcome = await transact(pick(pair.both, consumer + turn), acks, items)
        if (outcome.success) expected.push(...messages.map(({ data }) => `${data} ${attempt}`))
        else failed++
        if (outcome.success !== ![0, 1, 2].includes(fault)) unexpected.push(`${attempt} with fault ${fault}: ${JSON.stringify(outcome)}`)
        if (outcome.success) {
          left -= messages.length
          break
        }
      }
    }
  }))
  t.strictSame(unexpected, [])
  t.ok(failed > 20, `${failed} failed`)
  t.equal(expected.length, inputs.length)
  for (const out of ['a', 'b']) t.strictSame((await contents(pair.first, `out-${out}`)).sort(), [...expected].sort(), `out-${out} holds what succeeded, once`)
  t.strictSame(await pop(pair.second, 'in?batch=1000&partitions=100'), [], 'every input is acknowledged')
})

t.test('transactions on the same partitions in opposite orders all succeed', async t => {
  const pair = await startPair(t)
  const queues = ['x', 'y']
  await push(pair.first, queues.flatMap(queue => numbers(120).map(n => ({ queue, partition: `p${n % 60}`, transactionId: `${n}`, payload: n }))))
  const leased = await all(queues.map(async queue => await pop(pair.first, `${queue}?batch=1000&partitions=100`)))
  await eachAtOnce(numbers(120), 12, async n => {
    // Each acknowledges in one queue and pushes to the other one's partition that somebody acknowledges in.
    const [from, to] = n % 2 === 0 ? [0, 1] : [1, 0]
    const message = leased[from]?.find(candidate => candidate.data === n)
    if (message === undefined) throw new Error(`${n} was not delivered`)
    const outcome = await transact(pick(pair.both, n >> 1), [ackOf(message)],
      [59 - n % 60, n % 60].map(p => ({ queue: pick(queues, to), partition: `p${p}`, payload: `out ${n}` })))
    if (!outcome.success) throw new Error(`${n}: ${JSON.stringify(outcome)}`)
  })
  const counts = await all(queues.map(async queue => (await contents(pair.second, queue)).filter(data => typeof data === 'string').length))
  t.strictSame(counts, [120, 120])
})

t.test('a transaction whose session is killed before its commit changes nothing, and its outcome is not called a failure', async t => {
  const pair = await startPair(t)
  await push(pair.first, [{ queue: 'in', transactionId: 'one', payload: 1 }, { queue: 'out', transactionId: 'before', payload: 0 }])
  const [message] = await pop(pair.first, 'in')
  if (message === undefined) throw new Error('nothing was delivered')
  const held = await hold(t, pair.sql)
  await held.sql`select from regent.cursors for update`
  // It has pushed and waits to acknowledge.
  const transacting = transact(pair.first, [ackOf(message)], [{ queue: 'out', transactionId: 'two', payload: 2 }])
  await untilBlocked(pair.sql)
  await pair.sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  t.match(await transacting, { status: 503, code: 'RGT_OUTCOME_UNKNOWN' })
  await held.rollback()
  t.strictSame(await contents(pair.second, 'out'), [0], 'nothing was pushed')
  t.match(await transact(pair.second, [ackOf(message)], [{ queue: 'out', transactionId: 'two', payload: 2 }]), { success: true }, 'nothing was acknowledged')
  t.strictSame(await contents(pair.first, 'out'), [2])
})

t.test('a pipeline of two stages gives each input one output, though its workers crash and oversleep', async t => {
  const pair = await startPair(t)
  const random = seededRandom(5)
  const inputs = numbers(240)
  for (const queue of ['in', 'middle']) await configure(pair.first, queue, { leaseTime: 1 })
  let finished = 0
  let refused = 0
  const goesOn = patience()
  const workers = (from: string, to: string, total: number): Promise<void>[] => {
    let moved = 0
    return numbers(4).map(async worker => {
      while (moved < total && goesOn()) {
        const messages = await pop(pick(pair.both, worker), `${from}?batch=6&partitions=2&wait=true&timeout=500`)
        if (messages.length === 0) continue
        const fate = random(10)
        if (fate < 2) continue // crashes
        const [{ leaseId } = { leaseId: '' }] = messages
        if (fate < 4) {
          // Oversleeps: by the time it writes, its lease has ended, and its messages may be somebody else's.
          await until(async () => (await pair.sql`
            select from regent.cursors where lease_id = ${leaseId}::uuid and available_at > clock_timestamp()`).length === 0)
        }
        const outcome = await transact(pick(pair.both, worker + fate), messages.map(({ transactionId, partitionId }) => ({ transactionId, partitionId })),
          messages.map(({ data }) => ({ queue: to, partition: `p${data % 9}`, payload: data })), [leaseId])
        if (outcome.success) moved += messages.length
        else refused++
        if (outcome.success && to === 'out') finished += messages.length
      }
    })
  }
  await all([
    ...workers('in', 'middle', inputs.length), ...workers('middle', 'out', inputs.length),
    eachAtOnce(numbers(12), 2, async i => {
      await push(pick(pair.both, i), inputs.slice(i * 20, i * 20 + 20).map(n => ({ queue: 'in', partition: `p${n % 12}`, transactionId: `${n}`, payload: n })))
    })
  ])
  t.equal(finished, inputs.length)
  t.ok(refused > 0, `${refused} transactions came too late`)
  t.strictSame((await contents(pair.first, 'out')).sort((a, b) => a - b), inputs, 'each input has one output')
  t.strictSame((await contents(pair.second, 'middle')).sort((a, b) => a - b), inputs, 'and went once through the middle')
  for (const queue of ['in', 'middle']) t.strictSame(await pop(pair.first, `${queue}?batch=1000&partitions=100`), [], `${queue} is done`)
})
