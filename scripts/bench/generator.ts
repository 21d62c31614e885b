// The load generator, a process of its own so that its CPU time can be told apart. Takes one job at a time over IPC:
// says when it is prepared, begins when it is told to, and closes what it has opened when it is told to.
import type { Job, PreparedLoad, Step } from './jobs.ts'
import { consume } from './loads/consume.ts'
import { drain } from './loads/drain.ts'
import { echo } from './loads/echo.ts'
import { flow } from './loads/flow.ts'
import { hold, release } from './loads/hold.ts'
import { fill, push } from './loads/push.ts'
import { readSlowly } from './loads/read-slowly.ts'
import { insert, takeRows } from './loads/rows.ts'
import { transact } from './loads/transact.ts'

// The peers and autocannon are loaded only where they are used: their code is not to weigh on the other loads.
async function prepare (job: Job): Promise<PreparedLoad> {
  switch (job.kind) {
    case 'push': return await push(job)
    case 'push-autocannon': return await (await import('./loads/push-autocannon.ts')).pushByAutocannon(job)
    case 'fill': return await fill(job)
    case 'consume': return await consume(job)
    case 'transact': return await transact(job)
    case 'flow': return await flow(job)
    case 'drain': return await drain(job)
    case 'hold': return await hold(job)
    case 'read-slowly': return await readSlowly(job)
    case 'release': return release()
    case 'echo': return await echo(job)
    case 'insert': return await insert(job)
    case 'take-rows': return await takeRows(job)
    case 'pg-boss-push': return await (await import('./loads/pg-boss.ts')).pgBossPush(job)
    case 'pg-boss-take': return await (await import('./loads/pg-boss.ts')).pgBossTake(job)
    case 'graphile-push': return await (await import('./loads/graphile-worker.ts')).graphilePush(job)
    case 'graphile-run': return await (await import('./loads/graphile-worker.ts')).graphileRun(job)
  }
}

let prepared: PreparedLoad | null = null

async function answer (message: Job | Step): Promise<object> {
  if (message.kind === 'begin') {
    if (prepared === null) throw new Error('nothing is prepared')
    return { result: await prepared.run() }
  }
  if (message.kind === 'end') {
    await prepared?.close()
    prepared = null
    return {}
  }
  prepared = await prepare(message)
  return {}
}

process.on('message', (message: Job | Step) => {
  answer(message).then(
    reply => process.send?.(reply),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.stack ?? error.message : String(error) })
  )
})
// A terminal's ^C reaches the whole group; the runner decides when this process ends. Without a runner there is no use for it.
process.on('SIGINT', () => {})
process.on('disconnect', () => { process.exit() })
