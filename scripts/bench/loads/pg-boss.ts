import type PgBoss from 'pg-boss'
import type { LoadResult, PgBossPushJob, PgBossTakeJob, PreparedLoad } from '../jobs.ts'
import { idText, makePayloads } from '../messages.ts'
import { Tally } from '../tally.ts'
import { Patience } from './deliveries.ts'

const QUEUE = 'bench'
const FILL_BATCH = 1000

/** `insert` of batches, or `send` of single jobs; the ids are ours, so that a job is stored once. */
export async function pgBossPush ({ url, connections, batch, seconds, warmUpSeconds }: PgBossPushJob): Promise<PreparedLoad> {
  const boss = await startBoss(url, connections)
  const payloads = readPayloads()
  let number = 0
  const nextJob = (): { id: string, data: object } => {
    const data = payloads[number % payloads.length] ?? {}
    return { id: idText(number++), data }
  }
  async function pushOnce (tally: Tally): Promise<void> {
    if (batch > 1) {
      await boss.insert(Array.from({ length: batch }, () => ({ name: QUEUE, ...nextJob() })))
      return
    }
    const { id, data } = nextJob()
    if (await boss.send(QUEUE, data, { id }) !== id) tally.fault('a job was not sent')
  }
  async function pushFor (length: number): Promise<LoadResult> {
    const tally = new Tally()
    const startedAt = performance.now()
    const endAt = startedAt + length * 1000
    await Promise.all(Array.from({ length: connections }, async () => {
      while (performance.now() < endAt) {
        const before = performance.now()
        await pushOnce(tally)
        tally.latency(performance.now() - before)
        tally.requests++
        tally.messages += batch
      }
    }))
    return tally.result((performance.now() - startedAt) / 1000)
  }
  if (warmUpSeconds > 0) await pushFor(warmUpSeconds)
  return {
    async run () {
      const result = await pushFor(seconds)
      const stored = await boss.getQueueSize(QUEUE)
      if (stored !== number) result.faults.push(`${number} jobs were pushed, ${stored} are there`)
      return result
    },
    async close () { await boss.stop({ graceful: false }) }
  }
}

/** `fetch` and `complete` of a backlog. */
export async function pgBossTake ({ url, connections, batch, messages, warmUpMessages }: PgBossTakeJob): Promise<PreparedLoad> {
  const boss = await startBoss(url, connections)
  const payloads = readPayloads()
  let number = 0
  async function fill (count: number): Promise<void> {
    for (const end = number + count; number < end;) {
      await boss.insert(Array.from({ length: Math.min(FILL_BATCH, end - number) }, () => ({ name: QUEUE, id: idText(number), data: payloads[number++ % payloads.length] ?? {} })))
    }
    await boss.getDb().executeSql('vacuum analyze pgboss.job', [])
  }
  async function takeAll (count: number): Promise<LoadResult> {
    const tally = new Tally()
    const patience = new Patience()
    const seen = new Set<string>()
    const startedAt = performance.now()
    await Promise.all(Array.from({ length: connections }, async () => {
      while (seen.size < count && !patience.isOver) {
        const before = performance.now()
        const jobs = await boss.fetch(QUEUE, { batchSize: batch })
        if (jobs.length === 0) continue
        await boss.complete(QUEUE, jobs.map(({ id }) => id))
        for (const { id } of jobs) {
          if (seen.has(id)) tally.fault('a job that came twice')
          seen.add(id)
        }
        const now = performance.now()
        tally.latency(now - before)
        tally.requests += 2
        tally.messages += jobs.length
        patience.progress(now)
      }
    }))
    if (seen.size < count) tally.fault(`${count - seen.size} jobs never came`)
    return tally.result((patience.lastAt - startedAt) / 1000)
  }
  if (warmUpMessages > 0) {
    await fill(warmUpMessages)
    await takeAll(warmUpMessages)
  }
  await fill(messages)
  return {
    async run () { return await takeAll(messages) },
    async close () { await boss.stop({ graceful: false }) }
  }
}

// Without the maintenance it does from time to time, which a measurement of seconds might or might not meet.
async function startBoss (url: string, connections: number): Promise<PgBoss> {
  const { default: Boss } = await import('pg-boss')
  const boss = new Boss({ connectionString: url, max: connections, supervise: false, schedule: false })
  boss.on('error', error => { throw error })
  await boss.start()
  await boss.createQueue(QUEUE)
  await Promise.all(Array.from({ length: connections }, async () => await boss.getDb().executeSql('select pg_sleep(0.05)', [])))
  return boss
}

function readPayloads (): object[] {
  return makePayloads().map(text => JSON.parse(text) as object)
}
