import autocannon from 'autocannon'
import { Tally } from '../jobs.ts'
import type { LoadResult, PushJob } from '../jobs.ts'
import { PushBodies } from '../messages.ts'

/** Push with autocannon. Every answer must be 201 and call no message a duplicate. */
export async function push (job: PushJob): Promise<LoadResult> {
  const { url, queue, connections, seconds, batch, partitions } = job
  const bodies = new PushBodies(queue, batch)
  const tally = new Tally()
  let number = job.firstNumber
  let turn = 0
  const run = autocannon({
    url,
    connections,
    duration: seconds,
    timeout: 30,
    requests: [{
      method: 'POST',
      path: '/api/v1/push',
      headers: { 'content-type': 'application/json' },
      setupRequest (request) {
        request.body = bodies.next(turn++ % partitions, number)
        number += batch
        return request
      }
    }],
    verifyBody: body => !body.includes('"status":"duplicate"')
  })
  run.on('response', (_client, status, _bytes, ms) => {
    tally.requests++
    tally.latency(ms)
    if (status === 201) tally.messages += batch
    else tally.fault(`status ${status}`)
  })
  const result = await run
  if (result.errors > 0) tally.fault(`${result.errors} connection errors or timeouts`)
  if (result.mismatches > 0) tally.fault(`${result.mismatches} answers with duplicates`)
  return tally.result(result.duration, number)
}
