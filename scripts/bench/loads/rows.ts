import { connectTo } from '../connect.ts'
import type { InsertJob, PreparedLoad, TakeRowsJob } from '../jobs.ts'
import { idText, makePayloads } from '../messages.ts'
import { Tally } from '../tally.ts'

/** Insert batches, one multi-row statement each, one partition each. */
export async function insert (job: InsertJob): Promise<PreparedLoad> {
  const { url, table, connections, seconds, batch, partitions } = job
  const sql = await openPool(url, connections)
  const payloads = makePayloads()
  const tally = new Tally()
  const rows = Array.from({ length: batch }, (_, i) => `($1,$${2 * i + 2},$${2 * i + 3})`)
  const statement = `insert into ${table} (partition_id, transaction_id, payload) values ${rows.join(',')}`
  let number = job.firstNumber
  let turn = 0
  return {
    async run () {
      const startedAt = performance.now()
      const endAt = startedAt + seconds * 1000
      await Promise.all(Array.from({ length: connections }, async () => {
        while (performance.now() < endAt) {
          const values: string[] = [String(turn++ % partitions)]
          for (let i = 0; i < batch; i++) {
            values.push(idText(number), payloads[number % payloads.length] ?? '')
            number++
          }
          const before = performance.now()
          await sql.unsafe(statement, values, { prepare: true })
          tally.requests++
          tally.messages += batch
          tally.latency(performance.now() - before)
        }
      }))
      return tally.result((performance.now() - startedAt) / 1000, { nextNumber: number })
    },
    async close () { await sql.end({ timeout: 1 }) }
  }
}

/** Select a batch and delete it, each connection from partitions of its own: nobody waits for anybody. */
export async function takeRows ({ url, table, connections, rows, batch, partitions }: TakeRowsJob): Promise<PreparedLoad> {
  const sql = await openPool(url, connections)
  const tally = new Tally()
  const select = `select id, transaction_id, payload from ${table} where partition_id = $1 order by id limit ${batch}`
  const remove = `delete from ${table} where partition_id = $1 and id between $2 and $3`
  return {
    async run () {
      const startedAt = performance.now()
      await Promise.all(Array.from({ length: connections }, async (_, own) => {
        for (let partition = own; partition < partitions;) {
          const before = performance.now()
          const found = await sql.unsafe<{ id: string }[]>(select, [String(partition)], { prepare: true })
          const first = found[0]
          if (first === undefined) {
            partition += connections
            continue
          }
          await sql.unsafe(remove, [String(partition), first.id, found.at(-1)?.id ?? first.id], { prepare: true })
          tally.requests += 2
          tally.messages += found.length
          tally.latency(performance.now() - before)
        }
      }))
      if (tally.messages !== rows) tally.fault(`${tally.messages} rows came, ${rows} were expected`)
      return tally.result((performance.now() - startedAt) / 1000)
    },
    async close () { await sql.end({ timeout: 1 }) }
  }
}

// Its connections are open before the clock starts, as the service's own are.
async function openPool (url: string, connections: number): Promise<ReturnType<typeof connectTo>> {
  const sql = connectTo(url, connections)
  await Promise.all(Array.from({ length: connections }, async () => await sql`select pg_sleep(0.05)`))
  return sql
}
