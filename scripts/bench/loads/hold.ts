import type { Socket } from 'node:net'
import { HttpConnection } from '../http-connection.ts'
import type { HoldJob, LoadResult, PreparedLoad } from '../jobs.ts'
import { Tally } from '../tally.ts'

const WAIT_MS = 600_000
// A server's queue of connections that are not accepted yet is short.
const AT_ONCE = 100

const held: (() => void)[] = []
let ended = 0

/** Keep a connection until `release`; that it ends before is a fault. */
export function keep (socket: Socket): void {
  held.push(() => {
    socket.off('close', count)
    socket.destroy()
  })
  socket.once('close', count)

  function count (): void {
    ended++
  }
}

/** Open connections and keep them, beyond the end of the job, until `release`. Parked ones are in a pop that has nothing to answer. */
export async function hold ({ url, idle, parked, queues }: HoldJob): Promise<PreparedLoad> {
  const tally = new Tally()
  async function openIdle (): Promise<void> {
    const connection = await HttpConnection.open(url)
    held.push(() => { connection.close() })
    // One that has never asked for anything is closed by the server soon.
    const { status } = await connection.get('/metrics')
    if (status !== 200) tally.fault(`status ${status}`)
    connection.onClose(() => { ended++ })
  }
  async function openParked (i: number): Promise<void> {
    const connection = await HttpConnection.open(url)
    held.push(() => { connection.close() })
    connection.get(`/api/v1/pop/queue/idle-${i % queues}?wait=true&timeout=${WAIT_MS}`).then(
      () => { ended++ },
      () => { ended++ }
    )
  }
  return {
    async run () {
      const startedAt = performance.now()
      await inTurns(idle, openIdle)
      await inTurns(parked, openParked)
      tally.requests = held.length
      return tally.result((performance.now() - startedAt) / 1000)
    },
    close () {}
  }
}

/** Close what is held; what has ended by itself before is a fault. */
export function release (): PreparedLoad {
  return {
    async run (): Promise<LoadResult> {
      const tally = new Tally()
      if (ended > 0) tally.fault(`${ended} of ${held.length} connections did not last`)
      for (const close of held.splice(0)) close()
      return tally.result(0)
    },
    close () {}
  }
}

async function inTurns (count: number, open: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, async () => {
    while (next < count) await open(next++)
  }))
}
