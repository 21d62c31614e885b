import t from 'tap'
import type { FlowJob } from '../../scripts/bench/jobs.ts'
import { flow } from '../../scripts/bench/loads/flow.ts'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { readyUrl, spawnServer } from '../fixtures/server-process.ts'
import { createDatabase, startService } from '../support.ts'

const JOB: Omit<FlowJob, 'url'> = { kind: 'flow', queue: 'flow', seconds: 2, rate: 100, window: 0, producers: 2, pushBatch: 1, partitions: 10, consumers: 4, popBatch: 1, firstNumber: 0 }

// While a server stands still, two producers can be late with two messages only. What was due meanwhile is late all the same.
t.test('a server that stands still for a while is charged for every message that was due meanwhile', async t => {
  const server = spawnServer(t, { env: { DATABASE_URL: await createDatabase(t), FILE_BUFFER_DIR: makeFolder(t), LOG_LEVEL: 'error' } })
  const load = await flow({ ...JOB, url: await readyUrl(server) })
  t.teardown(() => load.close())
  const running = load.run()
  setTimeout(() => { server.process.kill('SIGSTOP') }, 500)
  setTimeout(() => { server.process.kill('SIGCONT') }, 1500)
  const { latency, messages, faults } = await running
  t.strictSame(faults, [])
  t.equal(messages, 200)
  // A hundred of 200 were due within the second: the slower 30 % of all waited at least 400 ms.
  t.ok((latency?.p90Ms ?? 0) >= 600, `p90 is ${latency?.p90Ms} ms`)
  t.ok((latency?.maxMs ?? 0) >= 900, `the greatest is ${latency?.maxMs} ms`)
})

t.test('without a rate it is as fast as messages come through, and every one must come', async t => {
  const { url } = await startService(t)
  const load = await flow({ ...JOB, url, seconds: 1, rate: null, window: 20, pushBatch: 5, popBatch: 10 })
  t.teardown(() => load.close())
  const { messages, seconds, faults, figures } = await load.run()
  t.strictSame(faults, [])
  t.ok(messages > 0 && messages % 5 === 0)
  t.ok(seconds > 0)
  t.ok((figures.pushP50Ms ?? 0) > 0)
})
