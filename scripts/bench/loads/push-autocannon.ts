import autocannon from 'autocannon'
import type { AutocannonPushJob, LoadResult, PreparedLoad } from '../jobs.ts'
import { PushRequests } from '../messages.ts'
import { Tally } from '../tally.ts'

const END_OF_HEAD = '\r\n\r\n'
const TIMEOUT_SECONDS = 30

/** Push with autocannon, which opens its own connections. Every answer must be 201 and call no message a duplicate. */
export async function pushByAutocannon (job: AutocannonPushJob): Promise<PreparedLoad> {
  return { run: async () => await run(job), close: () => {} }
}

async function run ({ url, queue, connections, seconds, batch, partitions, firstNumber }: AutocannonPushJob): Promise<LoadResult> {
  const requests = new PushRequests({ url, queue, batch, offset: 0 })
  const tally = new Tally()
  let number = firstNumber
  let turn = 0
  const running = autocannon({
    url,
    connections,
    duration: seconds,
    timeout: TIMEOUT_SECONDS,
    requests: [{
      method: 'POST',
      path: '/api/v1/push',
      headers: { 'content-type': 'application/json' },
      setupRequest (request) {
        const bytes = requests.next(turn++ % partitions, number)
        number += batch
        // A copy: the bytes are those of a later request soon, and autocannon makes a head of its own.
        request.body = Buffer.from(bytes.subarray(bytes.indexOf(END_OF_HEAD) + END_OF_HEAD.length))
        return request
      }
    }],
    verifyBody: body => !body.includes('"status":"duplicate"')
  })
  running.on('response', (_client, status, _bytes, ms) => {
    tally.requests++
    tally.latency(ms)
    if (status === 201) tally.messages += batch
    else tally.fault(`status ${status}`)
  })
  const result = await running
  if (result.errors > 0) tally.fault(`${result.errors} connection errors or timeouts`)
  if (result.mismatches > 0) tally.fault(`${result.mismatches} answers with duplicates`)
  return tally.result(result.duration, { nextNumber: number })
}
