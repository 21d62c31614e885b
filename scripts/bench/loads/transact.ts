import { openConnections } from '../http-connection.ts'
import type { HttpConnection } from '../http-connection.ts'
import type { PreparedLoad, TransactJob } from '../jobs.ts'
import { makePayloads } from '../messages.ts'
import { Tally } from '../tally.ts'
import { Ledger, Patience, PopAnswer } from './deliveries.ts'

/** Move a backlog to another queue: each pop is acknowledged, and as many messages pushed, in one transaction. */
export async function transact (job: TransactJob): Promise<PreparedLoad> {
  const { url, queue, connections, messages, batch } = job
  const open = await openConnections(url, connections)
  const tally = new Tally()
  const patience = new Patience()
  const ledger = new Ledger(messages, tally)
  const payloads = makePayloads()
  const path = `/api/v1/pop/queue/${queue}?batch=${batch}&wait=true&timeout=500`

  async function move (connection: HttpConnection): Promise<void> {
    while (!ledger.isComplete && !patience.isOver) {
      const before = performance.now()
      const popped = await connection.get(path)
      if (popped.status !== 200) tally.fault(`pop: status ${popped.status}`)
      const answer = new PopAnswer(popped.body)
      if (answer.ids.length === 0) continue
      ledger.take(answer)
      const { status, body } = await connection.post('/api/v1/transaction', transactionOf(answer, job.target, payloads))
      if (status !== 200 || !body.startsWith('{"success":true')) tally.fault(`a transaction failed (status ${status}): ${body.slice(0, 200)}`)
      const now = performance.now()
      tally.requests += 2
      tally.messages += answer.ids.length
      tally.latency(now - before)
      patience.progress(now)
    }
  }

  return {
    async run () {
      const startedAt = performance.now()
      patience.progress(startedAt)
      await Promise.all(open.map(move))
      ledger.finish()
      return tally.result((patience.lastAt - startedAt) / 1000)
    },
    close () {
      for (const connection of open) connection.close()
    }
  }
}

// The partition of the target is named as the source's: what was ordered stays ordered.
function transactionOf ({ ids, partitionId, leaseId, body }: PopAnswer, target: string, payloads: string[]): string {
  const partition = /"partition":"([^"]*)"/.exec(body)?.[1] ?? ''
  const acks = ids.map(id => `{"type":"ack","transactionId":"${id}","partitionId":"${partitionId}","status":"completed"}`)
  const items = ids.map((id, i) => `{"queue":"${target}","partition":"${partition}","transactionId":"${id}","payload":${payloads[i % payloads.length]}}`)
  return `{"operations":[${acks.join(',')},{"type":"push","items":[${items.join(',')}]}],"requiredLeases":["${leaseId}"]}`
}
