// The load generator, a process of its own so that its CPU time can be told apart. Takes one job at a time over IPC.
import type { Job, LoadResult } from './jobs.ts'
import { consume, fill } from './loads/consume.ts'
import { drain } from './loads/drain.ts'
import { push } from './loads/push.ts'
import { insert, takeRows } from './loads/rows.ts'

async function perform (job: Job): Promise<LoadResult> {
  switch (job.kind) {
    case 'push': return await push(job)
    case 'fill': return await fill(job)
    case 'consume': return await consume(job)
    case 'drain': return await drain(job)
    case 'insert': return await insert(job)
    case 'take-rows': return await takeRows(job)
  }
}

process.on('message', (job: Job) => {
  perform(job).then(
    result => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.stack ?? error.message : String(error) })
  )
})
// A terminal's ^C reaches the whole group; the runner decides when this process ends. Without a runner there is no use for it.
process.on('SIGINT', () => {})
process.on('disconnect', () => { process.exit() })
