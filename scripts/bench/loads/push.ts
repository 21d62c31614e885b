import { openConnections } from '../http-connection.ts'
import type { FillJob, PreparedLoad, PushJob } from '../jobs.ts'
import { PushRequests } from '../messages.ts'
import { Tally } from '../tally.ts'

/** Push for a while. Every answer must be 201 and call no message a duplicate. */
export async function push ({ seconds, batch, firstNumber, ...job }: PushJob): Promise<PreparedLoad> {
  let number = firstNumber
  return await pushing({ ...job, batch }, startedAt => {
    if (performance.now() >= startedAt + seconds * 1000) return null
    number += batch
    return number - batch
  }, () => number)
}

/** Fill a queue with messages numbered from 0 on, a request to each partition in turn. */
export async function fill ({ messages, batch, ...job }: FillJob): Promise<PreparedLoad> {
  let number = 0
  return await pushing({ ...job, batch }, () => {
    if (number >= messages) return null
    number += batch
    return number - batch
  }, () => number)
}

async function pushing ({ url, queue, connections, batch, partitions }: Pick<PushJob, 'url' | 'queue' | 'connections' | 'batch' | 'partitions'>,
  nextNumber: (startedAt: number) => number | null, reached: () => number): Promise<PreparedLoad> {
  const open = await openConnections(url, connections)
  const producers = open.map((connection, i) => ({ connection, requests: new PushRequests({ url, queue, batch, offset: i * batch }) }))
  const tally = new Tally()
  let turn = 0
  return {
    async run () {
      const startedAt = performance.now()
      await Promise.all(producers.map(async ({ connection, requests }) => {
        for (let number = nextNumber(startedAt); number !== null; number = nextNumber(startedAt)) {
          const before = performance.now()
          const { status, body } = await connection.send(requests.next(turn++ % partitions, number))
          tally.latency(performance.now() - before)
          tally.requests++
          if (status !== 201) tally.fault(`status ${status}`)
          else if (body.includes('"status":"duplicate"')) tally.fault('a duplicate')
          else tally.messages += batch
        }
      }))
      return tally.result((performance.now() - startedAt) / 1000, { nextNumber: reached() })
    },
    close () {
      for (const connection of open) connection.close()
    }
  }
}
