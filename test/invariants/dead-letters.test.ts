import t from 'tap'
import { until } from '../support.ts'
import type { Service } from '../support.ts'
import type { Message, Pair } from './support.ts'
import { ack, all, configure, eachAtOnce, hold, numbers, patience, pick, pop, positionOf, push, startPair, untilBlocked } from './support.ts'

/** Push numbers to partitions and give all of them up. */
async function bury ({ first, second }: Pair, queue: string, count: number, partitions: number): Promise<void> {
  await push(first, numbers(count).map(n => ({ queue, partition: `p${n % partitions}`, transactionId: `${n}`, payload: n })))
  const messages = await pop(second, `${queue}?batch=${count}&partitions=${partitions}`)
  if (messages.length !== count) throw new Error(`${messages.length} of ${count} were delivered`)
  const answer = await second.call('POST', '/api/v1/ack/batch', {
    acknowledgments: messages.map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId, status: 'dlq' }))
  })
  if (!answer.json.every((result: any) => result.dlq)) throw new Error(answer.text)
}

async function ask (service: Service, what: 'redrive' | 'purge', body: object): Promise<any> {
  const answer = await service.call('POST', `/api/v1/dlq/${what}`, body)
  if (answer.status !== 200) throw new Error(`${what} was answered ${answer.status} ${answer.text}`)
  return answer.json
}

async function left (service: Service, queue: string): Promise<number> {
  return (await service.call('GET', `/api/v1/dlq?queue=${queue}&limit=1`)).json.total
}

/** Everything that is waiting in a queue. */
async function waiting (service: Service, queue: string): Promise<Message[]> {
  return await pop(service, `${queue}?batch=10000&partitions=1000&autoAck=true`)
}

t.test('redrives and purges of one queue at once take each dead letter exactly once', async t => {
  const pair = await startPair(t)
  const count = 1600
  await bury(pair, 'q', count, 20)
  const answers = await all([
    ...numbers(30).map(async i => await ask(pick(pair.both, i), 'purge', { queue: 'q', limit: 10 })),
    ...pair.both.map(async service => await ask(service, 'redrive', { queue: 'q' }))
  ])
  // What a purge was at was left alone by the redrives, and the other way round.
  answers.push(await ask(pair.first, 'redrive', { queue: 'q' }))
  const redriven = answers.reduce((sum, answer) => sum + (answer.redriven ?? 0), 0)
  const purged = answers.reduce((sum, answer) => sum + (answer.purged ?? 0), 0)
  t.ok(redriven > 0 && purged > 0, `${redriven} redriven, ${purged} purged`)
  t.equal(redriven + purged, count)
  t.equal(await left(pair.first, 'q'), 0)
  const messages = await waiting(pair.second, 'q')
  t.equal(messages.length, redriven, 'what was redriven is in the log, and nothing else')
  t.equal(new Set(messages.map(message => message.transactionId)).size, redriven, 'once')
})

t.test('a redriven queue keeps the order of its messages, behind what was there', async t => {
  const pair = await startPair(t)
  const count = 1300
  await bury(pair, 'q', count, 3)
  await push(pair.first, numbers(3).map(n => ({ queue: 'q', partition: `p${n}`, transactionId: `before ${n}`, payload: -1 })))
  // Failures came in another order than the messages.
  await pair.sql`update regent.dead_letters set failed_at = failed_at - make_interval(secs => (hashint8(position) % 1000))`
  t.strictSame(await ask(pair.second, 'redrive', { queue: 'q' }), { success: true, redriven: count, remaining: 0 })
  const messages = await waiting(pair.first, 'q')
  for (const n of numbers(3)) {
    const own = messages.filter(message => message.partition === `p${n}`)
    t.strictSame(own.map(message => message.data), [-1, ...numbers(count).filter(i => i % 3 === n)])
    t.strictSame(own.map(positionOf), [...own.map(positionOf)].sort((a, b) => a - b))
  }
})

t.test('redrives beside producers and consumers of the same partitions lose and double nothing, and wake whoever waits', async t => {
  const pair = await startPair(t)
  const count = 600
  await bury(pair, 'q', count, 6)
  const seen = new Map<string, number>()
  const goesOn = patience()
  const total = 2 * count
  await all([
    ...numbers(3).map(async consumer => {
      while (seen.size < total && goesOn()) {
        const messages = await pop(pick(pair.both, consumer), 'q?batch=20&partitions=2&wait=true&timeout=2000')
        for (const result of await ack(pick(pair.both, consumer), messages)) {
          if (result.success) seen.set(result.transactionId, (seen.get(result.transactionId) ?? 0) + 1)
        }
      }
    }),
    eachAtOnce(numbers(60), 4, async i => {
      await push(pick(pair.both, i), numbers(10).map(n => ({ queue: 'q', partition: `p${n % 6}`, transactionId: `new ${i} ${n}`, payload: 0 })))
    }),
    eachAtOnce(numbers(20), 3, async i => { await ask(pick(pair.both, i), 'redrive', { queue: 'q', limit: 30 }) })
  ])
  t.equal(seen.size, total)
  t.strictSame([...seen].filter(([, times]) => times !== 1), [])
})

t.test('a redrive waits for a push to its partition and comes behind it', async t => {
  const pair = await startPair(t)
  await bury(pair, 'q', 1, 1)
  const held = await hold(t, pair.sql)
  // As a push does it: the partition's row first.
  await held.sql`update regent.partitions set head = head + 1, last_at = clock_timestamp()`
  const redriving = ask(pair.first, 'redrive', { queue: 'q' })
  await untilBlocked(pair.sql)
  await held.sql`insert into regent.segments (partition_id, first, count, bytes, created_at, tx, body)
    select id, head, 1, 68, last_at, '{1}', '{"transactionId":"pushed","traceId":null,"producerSub":null,"data":1}' from regent.partitions`
  await held.sql`update regent.cursors set available_at = clock_timestamp() where available_at = 'infinity'`
  await held.commit()
  t.match(await redriving, { redriven: 1 })
  t.strictSame((await waiting(pair.second, 'q')).map(message => message.transactionId), ['pushed', '0'])
})

t.test('a redrive that is killed before its commit leaves every dead letter where it was', async t => {
  const pair = await startPair(t)
  await bury(pair, 'q', 40, 4)
  const held = await hold(t, pair.sql)
  // It has appended and waits to wake the consumers.
  await held.sql`select from regent.cursors for update`
  const redriving = pair.first.call('POST', '/api/v1/dlq/redrive', { queue: 'q' })
  await untilBlocked(pair.sql)
  await pair.sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  t.match(await redriving, { status: 503, json: { code: 'RGT_OUTCOME_UNKNOWN' } })
  await held.rollback()
  t.equal(await left(pair.second, 'q'), 40)
  t.strictSame(await waiting(pair.second, 'q'), [])
  t.match(await ask(pair.second, 'redrive', { queue: 'q' }), { redriven: 40, remaining: 0 })
  t.equal((await waiting(pair.second, 'q')).length, 40)
})

t.test('a redrive does not run after messages that are given up again at once', async t => {
  const pair = await startPair(t)
  await configure(pair.first, 'q', {})
  await bury(pair, 'q', 1200, 1)
  const redriving = new AbortController()
  const burying = (async () => {
    while (!redriving.signal.aborted) {
      const messages = await pop(pair.second, 'q?batch=1000&wait=true&timeout=100')
      if (messages.length === 0) continue
      await pair.second.call('POST', '/api/v1/ack/batch', {
        acknowledgments: messages.map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId, status: 'dlq' }))
      })
    }
  })()
  const answer = await ask(pair.first, 'redrive', { queue: 'q' })
  redriving.abort()
  await burying
  t.equal(answer.redriven, 1200)
})

t.test('a message is moved to the dead letters once, however many ask for it, and nobody gets it any more', async t => {
  const pair = await startPair(t)
  await push(pair.first, numbers(20).map(n => ({ queue: 'q', partition: 'p', transactionId: `${n}`, payload: n })))
  const leased = await pop(pair.first, 'q?batch=20&consumerGroup=g')
  const [{ partitionId } = { partitionId: '' }] = leased
  await all([
    eachAtOnce(numbers(60), 6, async i => {
      const answer = await pick(pair.both, i).call('POST', `/api/v1/messages/${partitionId}/${i % 20}/dlq`, {})
      if (![200, 409].includes(answer.status)) throw new Error(answer.text)
    }),
    // Its holder acknowledges meanwhile: each is either done or dead.
    eachAtOnce(leased, 2, async message => {
      const [result] = await ack(pair.second, [message], 'g')
      if (result?.success !== true) throw new Error(JSON.stringify(result))
    })
  ])
  const rows = await pair.sql<{ position: string }[]>`select position from regent.dead_letters`
  t.equal(new Set(rows.map(row => row.position)).size, rows.length)
  await until(async () => (await pop(pair.second, 'q?batch=20&consumerGroup=g')).length === 0)
  t.equal((await pair.sql`select from regent.cursors where available_at < 'infinity'`).length, 0, 'the group has nothing left to read')
})
