import { HttpConnection } from '../http-connection.ts'
import { Tally } from '../jobs.ts'
import type { ConsumeJob, FillJob, LoadResult } from '../jobs.ts'
import { PushBodies, numberIn } from '../messages.ts'

const ID_KEY = '"transactionId":"'
const PARTITION_KEY = '"partitionId":"'
const LEASE_KEY = '"leaseId":"'
const UUID_LENGTH = 36
// Every so many answers one is parsed in full, to check the quick reading of the others.
const PARSE_EVERY = 100
// When this passes without a message, what is missing will not come.
const STALL_MS = 10_000

/** Fill a queue with messages numbered from 0 on. */
export async function fill ({ url, queue, connections, messages, batch, partitions }: FillJob): Promise<LoadResult> {
  const bodies = new PushBodies(queue, batch)
  const tally = new Tally()
  let next = 0
  const startedAt = performance.now()
  await onConnections(url, connections, async connection => {
    while (next < messages) {
      const first = next
      next += batch
      const { status } = await connection.post('/api/v1/push', bodies.next((first / batch) % partitions, first))
      if (status !== 201) throw new Error(`filling the queue was answered ${status}`)
      tally.requests++
      tally.messages += batch
    }
  })
  return tally.result((performance.now() - startedAt) / 1000)
}

/** Consume a whole backlog. Every message must come exactly once, and every acknowledgement succeed. */
export async function consume ({ url, queue, connections, messages, batch, autoAck }: ConsumeJob): Promise<LoadResult> {
  const tally = new Tally()
  const seen = new Uint8Array(messages)
  const path = `/api/v1/pop/queue/${queue}?batch=${batch}&wait=true&timeout=500${autoAck ? '&autoAck=true' : ''}`
  const startedAt = performance.now()
  let lastAt = startedAt
  await onConnections(url, connections, async connection => {
    while (tally.messages < messages && performance.now() - lastAt < STALL_MS) {
      const before = performance.now()
      const { status, body } = await connection.get(path)
      if (status !== 200) tally.fault(`pop: status ${status}`)
      const ids = idsIn(body)
      if (ids.length === 0) continue
      tally.requests++
      tally.messages += ids.length
      if (tally.requests % PARSE_EVERY === 0) check(body, ids, tally)
      for (const id of ids) checkOff(seen, numberIn(id), tally)
      if (!autoAck) {
        tally.requests++
        const answer = await acknowledge(connection, body, ids)
        if (answer.status !== 200 || answer.body.includes('"success":false')) tally.fault('a failed acknowledgement')
      }
      lastAt = performance.now()
      tally.latency(lastAt - before)
    }
  })
  const missing = seen.reduce((count, times) => times === 0 ? count + 1 : count, 0)
  if (missing > 0) tally.fault(`${missing} messages never came`)
  return tally.result((lastAt - startedAt) / 1000)
}

async function acknowledge (connection: HttpConnection, body: string, ids: string[]): Promise<{ status: number, body: string }> {
  const rest = `","partitionId":"${valueOf(body, PARTITION_KEY)}","leaseId":"${valueOf(body, LEASE_KEY)}","status":"completed"}`
  const acks = ids.map(id => `{"transactionId":"${id}${rest}`)
  return ids.length === 1
    ? await connection.post('/api/v1/ack', acks[0] ?? '')
    : await connection.post('/api/v1/ack/batch', `{"acknowledgments":[${acks.join(',')}]}`)
}

// Searched for instead of parsed: half a megabyte of JSON costs a consumer more than it costs the server.
function idsIn (body: string): string[] {
  const ids: string[] = []
  for (let at = body.indexOf(ID_KEY); at !== -1; at = body.indexOf(ID_KEY, at + UUID_LENGTH)) {
    at += ID_KEY.length
    ids.push(body.slice(at, at + UUID_LENGTH))
  }
  return ids
}

function valueOf (body: string, key: string): string {
  const at = body.indexOf(key) + key.length
  return body.slice(at, at + UUID_LENGTH)
}

function check (body: string, ids: string[], tally: Tally): void {
  const { messages } = JSON.parse(body) as { messages: { transactionId: string, data: { orderId?: unknown } }[] }
  const isRight = messages.length === ids.length && messages.every((message, i) => message.transactionId === ids[i] && typeof message.data.orderId === 'string')
  if (!isRight) tally.fault('an answer that does not read as JSON as it was searched')
}

function checkOff (seen: Uint8Array, number: number, tally: Tally): void {
  const times = seen[number]
  if (times === undefined) tally.fault('a message that was never pushed')
  else if (times > 0) tally.fault('a message that came twice')
  else seen[number] = 1
}

async function onConnections (url: string, count: number, work: (connection: HttpConnection) => Promise<void>): Promise<void> {
  const connections = await Promise.all(Array.from({ length: count }, async () => await HttpConnection.open(url)))
  try {
    await Promise.all(connections.map(work))
  } finally {
    for (const connection of connections) connection.close()
  }
}
