import { HttpConnection } from '../http-connection.ts'
import type { DrainJob, PreparedLoad } from '../jobs.ts'
import { Tally } from '../tally.ts'

const LOOK_MS = 10

/** Let a file buffer be drained that was filled during push maintenance, and see how long that takes. */
export async function drain ({ url }: DrainJob): Promise<PreparedLoad> {
  const tally = new Tally()
  const connection = await HttpConnection.open(url)
  const left = async (): Promise<number> => {
    const { body } = await connection.get('/api/v1/system/maintenance')
    return (JSON.parse(body) as { bufferedMessages: number }).bufferedMessages
  }
  tally.messages = await left()
  return {
    async run () {
      const startedAt = performance.now()
      const { status } = await connection.post('/api/v1/system/maintenance', '{"enabled":false}')
      if (status !== 200) tally.fault(`switching push maintenance off was answered ${status}`)
      else while (await left() > 0) await new Promise(resolve => setTimeout(resolve, LOOK_MS))
      return tally.result((performance.now() - startedAt) / 1000)
    },
    close () { connection.close() }
  }
}
