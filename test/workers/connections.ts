import { findProcesses } from '../fixtures/embedded-postgres.ts'
import type { ServerProcess } from '../fixtures/server-process.ts'
import { requestText } from '../fault/raw-client.ts'
import type { RawClient, RawConnection, RawReply } from '../fault/raw-client.ts'
import { until } from '../support.ts'

// Connections are handed to whichever worker is free: with so many each of a few gets some.
const MOST_TRIES = 500
const LONGEST_MS = 60_000

/** A connection that is kept open, one request at a time, and the number of the worker that serves it. */
export class ServedConnection {
  readonly worker: number
  readonly connection: RawConnection

  private constructor (connection: RawConnection, worker: number) {
    this.connection = connection
    this.worker = worker
  }

  static async open (client: RawClient): Promise<ServedConnection> {
    const connection = await client.open()
    const { json } = await callOn(connection, 'GET', '/health')
    return new ServedConnection(connection, json.worker_id)
  }

  async call (method: string, path: string, body?: unknown): Promise<RawReply> {
    return await callOn(this.connection, method, path, body)
  }

  async push (queue: string, payload: unknown): Promise<RawReply> {
    return await this.call('POST', '/api/v1/push', { items: [{ queue, payload }] })
  }

  async poll (queue: string): Promise<RawReply> {
    return await this.call('GET', `/api/v1/pop/queue/${queue}?wait=true&timeout=120000`)
  }
}

async function callOn (connection: RawConnection, method: string, path: string, body?: unknown): Promise<RawReply> {
  const number = connection.replies.length
  await connection.write(requestText(method, path, body === undefined ? undefined : JSON.stringify(body)))
  return await connection.reply(number)
}

/** So many connections to each of the workers 1 to `workers`, in this order. */
export async function connectEach (client: RawClient, workers: number, perWorker = 1): Promise<ServedConnection[]> {
  const found: ServedConnection[] = []
  for (let tries = 0; found.length < workers * perWorker; tries++) {
    if (tries === MOST_TRIES) throw new Error(`some workers get no connections: ${found.map(({ worker }) => worker).join()}`)
    const next = await ServedConnection.open(client)
    if (next.worker <= workers && found.filter(({ worker }) => worker === next.worker).length < perWorker) found.push(next)
    else next.connection.leave()
  }
  return found.sort((a, b) => a.worker - b.worker)
}

/** Waits until so many pops wait in each of these workers. */
export async function untilParked (asking: readonly ServedConnection[], pops: number): Promise<void> {
  await until(async () => {
    const parked = await Promise.all(asking.map(async connection => (await connection.call('GET', '/health')).json.load.parkedPops))
    return parked.every(count => count === pops)
  }, LONGEST_MS)
}

/** The process that serves as this worker now, from what the server has written at log level info. */
export function pidOf (output: string, worker: number): number {
  const lines = [...output.matchAll(new RegExp(`"pid":(\\d+),[^\\n]*"worker":${worker},"msg":"Server listening`, 'g'))]
  const pid = lines.at(-1)?.[1]
  if (pid === undefined) throw new Error(`worker ${worker} has not said that it listens`)
  return Number(pid)
}

/** The processes of a server but its database's. */
export function processesOf (server: ServerProcess): number[] {
  return findProcesses('dist/server.js').filter(({ pgid }) => pgid === server.pid).map(({ pid }) => pid)
}

export async function untilGone (server: ServerProcess): Promise<void> {
  await until(() => processesOf(server).length === 0, LONGEST_MS)
}
