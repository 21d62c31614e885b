import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import type { WorkerUtils } from 'graphile-worker'
import type { GraphilePushJob, GraphileRunJob, LoadResult, PreparedLoad } from '../jobs.ts'
import { makePayloads } from '../messages.ts'
import { Tally } from '../tally.ts'

const TASK = 'bench'
const FILL_BATCH = 1000
const STALL_MS = 10_000
const LOOK_MS = 100
// The documented way to add many: one call of its SQL function.
const ADD_JOBS = `select count(*)::int as added from graphile_worker.add_jobs(array(
  select json_populate_recordset(null::graphile_worker.job_spec, $1::json)))`
const silent = new Logger(() => () => {})

/** `add_jobs` of batches, or `addJob` of single jobs, without keys: nothing is deduplicated. */
export async function graphilePush ({ url, connections, batch, seconds, warmUpSeconds }: GraphilePushJob): Promise<PreparedLoad> {
  const utils = await startUtils(url, connections)
  const payloads = readPayloads()
  let number = 0
  async function pushOnce (tally: Tally): Promise<void> {
    if (batch === 1) {
      await utils.addJob(TASK, payloads[number++ % payloads.length])
      return
    }
    const added = await addMany(utils, Array.from({ length: batch }, () => payloads[number++ % payloads.length] ?? {}))
    if (added !== batch) tally.fault(`${added} of ${batch} jobs were added`)
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
    async run () { return await pushFor(seconds) },
    async close () { await utils.release() }
  }
}

/** A runner with a task that does nothing, until a backlog is gone. */
export async function graphileRun ({ url, connections, messages, warmUpMessages }: GraphileRunJob): Promise<PreparedLoad> {
  const utils = await startUtils(url, 1)
  const payloads = readPayloads()
  async function fill (count: number): Promise<void> {
    for (let first = 0; first < count; first += FILL_BATCH) {
      await addMany(utils, Array.from({ length: Math.min(FILL_BATCH, count - first) }, (_, i) => payloads[i % payloads.length] ?? {}))
    }
    await utils.withPgClient(async client => { await client.query('vacuum analyze') })
  }
  if (warmUpMessages > 0) {
    await fill(warmUpMessages)
    await runAll(url, connections, warmUpMessages)
  }
  await fill(messages)
  await utils.release()
  return {
    async run () { return await runAll(url, connections, messages) },
    close () {}
  }
}

async function runAll (url: string, connections: number, messages: number): Promise<LoadResult> {
  const tally = new Tally()
  const seen = new Set<string>()
  let startedAt = performance.now()
  let lastAt = startedAt
  let done: () => void = () => {}
  const ended = new Promise<void>(resolve => { done = resolve })
  const runner = await run({
    connectionString: url,
    concurrency: connections,
    maxPoolSize: connections + 1,
    noHandleSignals: true,
    logger: silent,
    taskList: {
      [TASK]: (_payload, { job }) => {
        lastAt = performance.now()
        if (seen.size === 0) startedAt = lastAt
        if (seen.has(job.id)) tally.fault('a job that came twice')
        seen.add(job.id)
        if (seen.size >= messages) done()
      }
    }
  })
  const watch = setInterval(() => { if (performance.now() - lastAt > STALL_MS) done() }, LOOK_MS)
  await ended
  clearInterval(watch)
  // Those that were run are reported as done before it ends.
  await runner.stop()
  tally.messages = seen.size
  tally.requests = seen.size
  if (seen.size < messages) tally.fault(`${messages - seen.size} jobs never came`)
  return tally.result((lastAt - startedAt) / 1000)
}

async function startUtils (url: string, connections: number): Promise<WorkerUtils> {
  const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: connections, logger: silent })
  await utils.migrate()
  await Promise.all(Array.from({ length: connections }, async () => {
    await utils.withPgClient(async client => { await client.query('select pg_sleep(0.05)') })
  }))
  return utils
}

async function addMany (utils: WorkerUtils, payloads: object[]): Promise<number> {
  const specs = JSON.stringify(payloads.map(payload => ({ identifier: TASK, payload })))
  return await utils.withPgClient(async client => {
    const { rows } = await client.query<{ added: number }>({ name: 'add-jobs', text: ADD_JOBS, values: [specs] })
    return rows[0]?.added ?? 0
  })
}

function readPayloads (): object[] {
  return makePayloads().map(text => JSON.parse(text) as object)
}
