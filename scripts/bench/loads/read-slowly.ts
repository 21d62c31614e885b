import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { PreparedLoad, ReadSlowlyJob } from '../jobs.ts'
import { Tally } from '../tally.ts'
import { keep } from './hold.ts'

const STEP_MS = 100

/**
 * Connections that each pop a large answer and take it at so many bytes a second, beyond the end of the job, until `release`.
 * The job ends when each has the beginning of its answer.
 */
export async function readSlowly ({ url, queue, readers, batch, bytesPerSecond }: ReadSlowlyJob): Promise<PreparedLoad> {
  const tally = new Tally()
  const { hostname, port, host } = new URL(url)
  async function begin (): Promise<void> {
    const socket = connect(Number(port), hostname)
    keep(socket)
    socket.write(`GET /api/v1/pop/queue/${queue}?batch=${batch}&autoAck=true HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
    const head = await readHead(socket)
    if (!head.startsWith('HTTP/1.1 200')) tally.fault(`a slow reader was answered ${head.slice(0, 100)}`)
    const timer = setInterval(() => { socket.read(Math.min(bytesPerSecond * STEP_MS / 1000, socket.readableLength)) }, STEP_MS)
    socket.once('close', () => { clearInterval(timer) })
  }
  return {
    async run () {
      const startedAt = performance.now()
      await Promise.all(Array.from({ length: readers }, begin))
      tally.requests = readers
      return tally.result((performance.now() - startedAt) / 1000)
    },
    close () {}
  }
}

/** What comes first of an answer; the rest is left where it is. */
async function readHead (socket: Socket): Promise<string> {
  return await new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('readable', () => { resolve(String(socket.read(Math.min(100, socket.readableLength)))) })
  })
}
