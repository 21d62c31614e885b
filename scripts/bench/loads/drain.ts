import { HttpConnection } from '../http-connection.ts'
import { Tally } from '../jobs.ts'
import type { DrainJob, LoadResult } from '../jobs.ts'

const LOOK_MS = 10

/** Let a file buffer be drained that was filled during push maintenance, and see how long that takes. */
export async function drain ({ url }: DrainJob): Promise<LoadResult> {
  const tally = new Tally()
  const connection = await HttpConnection.open(url)
  const left = async (): Promise<number> => {
    const { body } = await connection.get('/api/v1/system/maintenance')
    return (JSON.parse(body) as { bufferedMessages: number }).bufferedMessages
  }
  tally.messages = await left()
  const startedAt = performance.now()
  const { status } = await connection.post('/api/v1/system/maintenance', Buffer.from('{"enabled":false}'))
  if (status !== 200) tally.fault(`switching push maintenance off was answered ${status}`)
  else while (await left() > 0) await new Promise(resolve => setTimeout(resolve, LOOK_MS))
  const seconds = (performance.now() - startedAt) / 1000
  connection.close()
  return tally.result(seconds)
}
