// What HTTP, JSON and one round trip to PostgreSQL cost by themselves: the ceiling of any service built of the same parts.
import Fastify from 'fastify'
import { connectTo } from './connect.ts'

// As many as the service's own pool has.
const POOL_SIZE = 20

const sql = connectTo(process.env.DATABASE_URL ?? '', POOL_SIZE)
const app = Fastify()

app.post<{ Body: { items: { transactionId: string }[] } }>('/api/v1/push', async (request, reply) => {
  await sql`select 1`
  return await reply.code(201).send(request.body.items.map(({ transactionId }, index) => ({ index, status: 'queued', transaction_id: transactionId })))
})

process.once('SIGTERM', () => {
  void app.close().then(async () => { await sql.end({ timeout: 1 }) }).then(() => { process.exit() })
})
console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
