import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from '../child.ts'
import { measure } from '../measure.ts'
import type { Measurement } from '../measure.ts'
import type { PushJob } from '../jobs.ts'
import type { BenchContext, Workload } from './context.ts'

const BATCH = 100
const PARTITIONS = 100
const FILL_CONNECTIONS = 32
const MESSAGES_PER_SECOND = 100_000
const MOST_MESSAGES = 600_000
// Nothing listens there.
const NOWHERE = 'postgres://postgres@127.0.0.1:1/postgres'

/** The file buffer: pushing to it while the database is away, and moving what is in it to the database. */
export function outageWorkloads (connections: number): Workload[] {
  return [
    { name: 'buffer-100x100', title: 'push, 100 per request, 100 partitions, database away', connections, floor: 'insert-100', run: async context => await buffer(context, connections) },
    { name: 'drain-100x100', title: 'drain of the file buffer, filled with 100 per request, 100 partitions', connections: 1, floor: 'insert-100', run: drain }
  ]
}

async function buffer ({ options: { seconds, warmUpSeconds }, database, generator }: BenchContext, connections: number): Promise<Measurement> {
  const folder = await mkdtemp(join(tmpdir(), 'regent-bench-buffer-'))
  try {
    const server = await startServer('../../server.js',
      { DATABASE_URL: NOWHERE, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'silent', FILE_BUFFER_DIR: folder, FILE_BUFFER_MAX_MB: '65536' })
    try {
      const job: PushJob = { kind: 'push', url: server.url, queue: 'buffer', connections, seconds, batch: BATCH, partitions: PARTITIONS, firstNumber: 0 }
      if (warmUpSeconds > 0) job.firstNumber = (await generator.perform({ ...job, seconds: warmUpSeconds })).nextNumber
      return await measure(job, { database, serverPid: server.pid, generator, stored: async () => await bufferedAt(server.url) })
    } finally {
      await server.stop()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function drain ({ options: { seconds }, database, generator, serverUrl, serverPid }: BenchContext): Promise<Measurement> {
  await maintain(serverUrl)
  const messages = Math.min(seconds * MESSAGES_PER_SECOND, MOST_MESSAGES)
  await generator.perform({ kind: 'fill', url: serverUrl, queue: 'drain', connections: FILL_CONNECTIONS, messages, batch: BATCH, partitions: PARTITIONS })
  return await measure({ kind: 'drain', url: serverUrl }, { database, serverPid, generator })
}

async function maintain (serverUrl: string): Promise<void> {
  const { status } = await fetch(`${serverUrl}/api/v1/system/maintenance`, { method: 'POST', body: '{"enabled":true}' })
  if (status !== 200) throw new Error(`switching push maintenance on was answered ${status}`)
}

async function bufferedAt (serverUrl: string): Promise<number> {
  const answer = await fetch(`${serverUrl}/api/v1/system/maintenance`)
  return (await answer.json() as { bufferedMessages: number }).bufferedMessages
}
