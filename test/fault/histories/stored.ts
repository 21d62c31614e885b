import type postgres from 'postgres'
import { pop } from './consumer.ts'
import { positionOf } from './groups.ts'
import { QUEUES } from './queues.ts'
import type { Payload } from './pushes.ts'
import type { World } from './world.ts'

/** A message as it is stored, with the payload that a consumer is shown. */
export interface Stored {
  queue: string
  partition: string
  position: number
  id: string
  transactionId: string
  createdAtMs: number
  isSealed: boolean
  data: Payload | null
}

export interface DeadLetter {
  queue: string
  partition: string
  group: string
  position: number
  transactionId: string
  error: string
  retryCount: number
  data: Payload | null
}

/** Where a group stands in a partition. `unrest`: what says that it is not done with it; empty when nothing does. */
export interface Standing { queue: string, partition: string, group: string, committed: number, head: number, unrest: string }

/** Everything that is left when all is over. */
export interface Remains { stored: Stored[], deadLetters: DeadLetter[], standings: Standing[] }

// Which everybody may make: it reads everything once more, behind all others.
const AUDITOR = 'auditor'

/** Where all groups of some queues stand; those that have never popped stand at the beginning. */
export async function readStandings (sql: postgres.Sql): Promise<Standing[]> {
  const groups = QUEUES.flatMap(({ name, groups }) => groups.map(group => [name, group === '' ? '__QUEUE_MODE__' : group]))
  const rows = await sql`
    select q.name as queue, p.name as partition, case e->>1 when '__QUEUE_MODE__' then '' else e->>1 end as group,
           coalesce(c.committed, 0)::float8 as committed, p.head::float8 as head,
           concat_ws(', ', 'leased until ' || case when c.lease_id is not null then c.available_at end, 'acknowledged ' || nullif(c.acked, '{}'),
             case when c.available_at < 'infinity' then 'available' end,
             (select 'remembers attempts at ' || string_agg(a.position::text, ', ') from regent.attempts a where a.partition_id = p.id and a.group_id = g.id)) as unrest
      from json_array_elements(${JSON.stringify(groups)}::text::json) as e
      join regent.queues q on q.name = e->>0
      join regent.partitions p on p.queue_id = q.id
      left join regent.groups g on g.queue_id = q.id and g.name = e->>1
      left join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
      where p.head > 0`
  // The columns are those of Standing.
  return [...rows] as unknown as Standing[]
}

export async function readRemains (world: World, sql: postgres.Sql): Promise<Remains> {
  const rows = await sql`
    select queue, partition, position::float8, id, transaction_id as "transactionId", sealed as "isSealed",
           extract(epoch from created_at)::float8 * 1000 as "createdAtMs"
      from regent.messages order by queue, partition, position`
  // The columns are those of Stored, but for what only the service can open.
  const stored = [...rows] as unknown as Stored[]
  const shown = await audit(world)
  for (const message of stored) message.data = shown.get(message.id) ?? null
  return { stored, deadLetters: await readDeadLetters(world), standings: await readStandings(sql) }
}

/** What a group of its own is shown, by message id. */
async function audit (world: World): Promise<Map<string, Payload>> {
  const shown = new Map<string, Payload>()
  const [instance] = world.instances
  if (instance === undefined) return shown
  for (const queue of QUEUES) {
    for (;;) {
      const held = await pop(world, instance, { queue, group: AUDITOR, batch: 1000, partitions: 100, waitMs: 0 })
      if (held.length === 0) break
      for (const message of held.flatMap(({ messages }) => messages)) shown.set(message.id, message.data)
    }
  }
  return shown
}

async function readDeadLetters (world: World): Promise<DeadLetter[]> {
  const [instance] = world.instances
  const letters: DeadLetter[] = []
  for (;;) {
    const reply = instance === undefined ? null : await world.call(instance, 'GET', `/api/v1/dlq?limit=1000&offset=${letters.length}`)
    const page: any[] = reply?.json?.messages ?? []
    if (reply?.status !== 200) world.faults.push(`the list of dead letters was answered ${reply?.status}`)
    if (page.length === 0) return letters
    letters.push(...page.map(({ id, queue, partition, consumerGroup, transactionId, errorMessage, retryCount, data }) =>
      ({ queue, partition, group: consumerGroup === '__QUEUE_MODE__' ? '' : consumerGroup, position: positionOf(id), transactionId, error: errorMessage, retryCount, data })))
  }
}
