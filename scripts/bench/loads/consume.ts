import { openConnections } from '../http-connection.ts'
import type { HttpConnection } from '../http-connection.ts'
import type { ConsumeJob, PreparedLoad } from '../jobs.ts'
import { Tally } from '../tally.ts'
import { Ledger, Patience, PopAnswer, acknowledge } from './deliveries.ts'

/** Consume a whole backlog. Every message must come to every group exactly once, and every acknowledgement succeed. */
export async function consume (job: ConsumeJob): Promise<PreparedLoad> {
  const { url, connections, messages } = job
  const groups = job.groups ?? [null]
  const open = await openConnections(url, connections * groups.length)
  const tally = new Tally()
  const patience = new Patience()
  return {
    async run () {
      const startedAt = performance.now()
      patience.progress(startedAt)
      const ledgers = groups.map(group => ({ group, ledger: new Ledger(messages, tally) }))
      await Promise.all(ledgers.flatMap(({ group, ledger }, i) => open.slice(i * connections, (i + 1) * connections)
        .map(async connection => { await consumer(connection, { ...job, group, ledger, tally, patience }) })))
      for (const { ledger } of ledgers) ledger.finish()
      return tally.result((patience.lastAt - startedAt) / 1000)
    },
    close () {
      for (const connection of open) connection.close()
    }
  }
}

interface Consumer extends Pick<ConsumeJob, 'queue' | 'batch' | 'autoAck'> {
  group: string | null
  ledger: Ledger
  tally: Tally
  patience: Patience
}

async function consumer (connection: HttpConnection, { queue, batch, autoAck, group, ledger, tally, patience }: Consumer): Promise<void> {
  const path = `/api/v1/pop/queue/${queue}?batch=${batch}&wait=true&timeout=500` +
    `${autoAck ? '&autoAck=true' : ''}${group === null ? '' : `&consumerGroup=${group}`}`
  while (!ledger.isComplete && !patience.isOver) {
    const before = performance.now()
    const { status, body } = await connection.get(path)
    if (status !== 200) tally.fault(`pop: status ${status}`)
    const answer = new PopAnswer(body)
    if (answer.ids.length === 0) continue
    tally.requests++
    tally.messages += answer.ids.length
    ledger.take(answer)
    if (!autoAck) await acknowledge(connection, answer, group, tally)
    const now = performance.now()
    patience.progress(now)
    tally.latency(now - before)
  }
}
