// Several workers under load: 100,000 messages, or as many as REGENT_LOAD_MESSAGES says.
import t from 'tap'
import { RawClient } from '../fault/raw-client.ts'
import type { RawReply } from '../fault/raw-client.ts'
import { startServer } from '../fault/server-under-test.ts'
import { all, numbers, patience, pick } from '../invariants/support.ts'
import { connect } from '../support.ts'
import { ServedConnection, connectEach, processesOf, untilParked } from './connections.ts'

const WORKERS = 4
const MESSAGES = Number(process.env.REGENT_LOAD_MESSAGES ?? 100_000)
const CONSUMERS = 10
const PRODUCERS = 4
const PARTITIONS = 40
const BATCH = 1000
const PUSHED_AT_ONCE = 500
// Each connection is given up after so many requests: the next one may be another worker's.
const REQUESTS_PER_CONNECTION = 25
// Far above what a slow machine needs: 1000 messages a second.
const LONGEST_MS = 60_000 + MESSAGES

interface Popped { id: string, transactionId: string, partition: string, partitionId: string, leaseId: string, data: number }

t.setTimeout(LONGEST_MS + 120_000)
const { server, url, databaseUrl } = await startServer(t, { env: { WORKERS: String(WORKERS), POLL_SAFETY_NET: '0', MAX_EVENT_LOOP_DELAY: '0' } })
const client = new RawClient(t, url)
const processes = processesOf(server)
const sql = connect(t, databaseUrl)

/** Asks worker after worker, and insists on being answered with this status. */
class Asker {
  readonly workers = new Set<number>()
  #connection: ServedConnection | null = null
  #requests = 0

  async call (status: number, method: string, path: string, body?: unknown): Promise<RawReply> {
    if (this.#requests++ % REQUESTS_PER_CONNECTION === 0) {
      this.#connection?.connection.leave()
      this.#connection = await ServedConnection.open(client)
      this.workers.add(this.#connection.worker)
    }
    const answer = await this.#connection?.call(method, path, body)
    if (answer?.status !== status) throw new Error(`${method} ${path} was answered ${answer?.status} ${answer?.text.slice(0, 200)}`)
    return answer
  }
}

async function popOn (connection: ServedConnection, query: string): Promise<Popped[]> {
  const answer = await connection.call('GET', `/api/v1/pop/queue/${query}`)
  if (answer.status !== 200) throw new Error(`pop was answered ${answer.status} ${answer.text}`)
  return answer.json.messages
}

async function ackOn (connection: ServedConnection, messages: readonly Popped[]): Promise<void> {
  const acknowledgments = messages.map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId }))
  const answer = await connection.call('POST', '/api/v1/ack/batch', { acknowledgments })
  if (!answer.json.every(({ success }: { success: boolean }) => success)) throw new Error(`ack was answered ${answer.text}`)
}

t.test('the same ids pushed at the same time through different workers are stored once', async t => {
  const connections = await connectEach(client, WORKERS, 2)
  for (const round of numbers(10)) {
    const items = numbers(50).map(i => ({ queue: 'once', partition: `p${i % 3}`, transactionId: `${round}-${i}`, payload: i }))
    const answers = await all(connections.map(async connection => await connection.call('POST', '/api/v1/push', { items })))
    for (const i of items.keys()) {
      const results = answers.map(({ json }) => json[i])
      t.equal(results.filter(({ status }) => status === 'queued').length, 1)
      t.equal(results.filter(({ status }) => status === 'duplicate').length, connections.length - 1)
      t.equal(new Set(results.map(({ message_id: id }) => id)).size, 1)
    }
  }
  t.equal((await sql`select from regent.messages where queue = 'once'`).length, 500)
})

t.test('one of a group at a time holds a partition, whichever workers they ask', async t => {
  const connections = await connectEach(client, WORKERS, 2)
  const partitions = 3
  const each = 20
  const items = numbers(partitions * each).map(i => ({ queue: 'leased', partition: `p${i % partitions}`, payload: Math.floor(i / partitions) }))
  t.equal((await connections[0]?.call('POST', '/api/v1/push', { items }))?.status, 201)
  const got = new Map<string, number[]>()
  const goesOn = patience()
  for (let round = 0; goesOn() && [...got.values()].flat().length < items.length; round++) {
    const answers = await all(connections.map(async connection => await popOn(connection, 'leased?batch=4')))
    const deliveries = answers.filter(messages => messages.length > 0)
    const held = deliveries.map(([first]) => first?.partition)
    if (new Set(held).size !== held.length) t.fail(`held at once: ${held.join()}`)
    for (const messages of deliveries) {
      for (const { partition, data } of messages) got.set(partition, [...got.get(partition) ?? [], data])
      // Through another worker than it came from.
      await ackOn(pick(connections, round), messages)
    }
  }
  t.strictSame([...got.keys()].sort(), ['p0', 'p1', 'p2'])
  for (const data of got.values()) t.strictSame(data, numbers(each))
})

t.test('who waits in one worker is woken by a push or an acknowledgement in another, without a safety net', async t => {
  const [waiting, acting] = [await connectEach(client, WORKERS), await connectEach(client, WORKERS)]
  for (const waiter of waiting) {
    for (const actor of acting) {
      const queue = `wake-${waiter.worker}-${actor.worker}`
      const poll = waiter.poll(queue)
      await untilParked(acting.filter(({ worker }) => worker === waiter.worker), 1)
      t.equal((await actor.push(queue, 'pushed')).status, 201)
      const [first] = (await poll).json.messages as Popped[]
      t.match(first, { data: 'pushed' })
      if (first === undefined) continue

      t.equal((await actor.push(queue, 'behind it')).status, 201)
      const next = waiter.poll(queue)
      await untilParked(acting.filter(({ worker }) => worker === waiter.worker), 1)
      await ackOn(actor, [first])
      t.match((await next).json.messages, [{ data: 'behind it' }])
    }
  }
})

t.test(`${MESSAGES} messages through ${WORKERS} workers to ${CONSUMERS} consumers: each exactly once, and every request is answered`, async t => {
  const startedAt = performance.now()
  const deliveries = new Uint8Array(MESSAGES)
  const inOrder = new Map<string, number>()
  const askers: Asker[] = []
  let pushed = 0
  let acknowledged = 0
  let disorder = 0

  const produce = async (producer: number): Promise<void> => {
    const asker = new Asker()
    askers.push(asker)
    for (let from = producer * PUSHED_AT_ONCE; from < MESSAGES; from += PRODUCERS * PUSHED_AT_ONCE) {
      const items = numbers(Math.min(PUSHED_AT_ONCE, MESSAGES - from)).map(i => ({ queue: 'load', partition: `${producer}-${(from + i) % (PARTITIONS / PRODUCERS)}`, transactionId: `t-${from + i}`, payload: from + i }))
      const { json } = await asker.call(201, 'POST', '/api/v1/push', { items })
      pushed += json.filter(({ status }: { status: string }) => status === 'queued').length
    }
  }

  const consume = async (): Promise<void> => {
    const asker = new Asker()
    askers.push(asker)
    while (acknowledged < MESSAGES) {
      const { json } = await asker.call(200, 'GET', `/api/v1/pop/queue/load?batch=${BATCH}&partitions=10&wait=true&timeout=1000`)
      const messages: Popped[] = json.messages
      if (messages.length === 0) continue
      for (const { partition, data } of messages) {
        deliveries[data] = (deliveries[data] ?? 0) + 1
        if (data <= (inOrder.get(partition) ?? -1)) disorder++
        inOrder.set(partition, data)
      }
      const acknowledgments = messages.map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId }))
      const answer = await asker.call(200, 'POST', '/api/v1/ack/batch', { acknowledgments })
      acknowledged += answer.json.filter(({ success }: { success: boolean }) => success).length
    }
  }

  await all([...numbers(PRODUCERS).map(async producer => { await produce(producer) }), ...numbers(CONSUMERS).map(async () => { await consume() })])
  process.stderr.write(`${MESSAGES} messages pushed, popped and acknowledged in ${Math.round(performance.now() - startedAt)} ms\n`)
  t.equal(pushed, MESSAGES)
  t.equal(acknowledged, MESSAGES)
  t.equal(deliveries.filter(times => times !== 1).length, 0, 'each exactly once')
  t.equal(disorder, 0, 'in the order of its partition')
  t.strictSame([...new Set(askers.flatMap(({ workers }) => [...workers]))].sort(), numbers(WORKERS).map(i => i + 1), 'every worker took part')
  t.strictSame(processesOf(server).sort(), processes.sort(), 'no process has ended')
  t.notMatch(server.output(), /"level":[56]0/)
})
