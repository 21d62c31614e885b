import type postgres from 'postgres'
import type { Test } from 'tap'
import type { RegentOptions } from '../../index.ts'
import { plainArray } from '../../services/database/literals.ts'
import { hashId } from '../../services/log/hash.ts'
import { parseAddress } from '../../services/log/ids.ts'
import { messageLine } from '../../services/log/line.ts'
import { connect, startService, until } from '../support.ts'
import type { Answer, Service } from '../support.ts'

/** A message as pop shows it. */
export interface Message {
  id: string
  transactionId: string
  partitionId: string
  partition: string
  leaseId: string
  data: any
}

/** One acknowledgement's answer. */
export interface Acked { transactionId: string, success: boolean, error: string | null }

/** Two instances on one database, each with its own caches, and a driver to look and to interfere from outside. */
export interface Pair { first: Service, second: Service, both: Service[], sql: postgres.Sql }

/**
 * Start two instances on one database. The safety net is off unless asked for: a lost wake-up is then never made up for,
 * and shows.
 */
export async function startPair (t: Test, options: Partial<RegentOptions> = {}): Promise<Pair> {
  const first = await startService(t, { safetyNetMs: 0, ...options })
  const second = await startService(t, { safetyNetMs: 0, ...options, databaseUrl: first.databaseUrl })
  return { first, second, both: [first, second], sql: connect(t, first.databaseUrl, 8) }
}

/** The element of a non-empty list that an ever growing number falls on. */
export function pick<T> (list: readonly T[], index: number): T {
  const found = list[index % list.length]
  if (found === undefined) throw new Error('nothing to pick from')
  return found
}

/** The position a message stands at, from its id. */
export function positionOf (message: { id: string }): number {
  return addressOf(message.id).position
}

/** Partition number and position in an id. */
export function addressOf (id: string): { partition: number, position: number } {
  const address = parseAddress(id)
  if (address === null) throw new Error(`not an address: ${id}`)
  return address
}

/** The answer's messages; throws when it is not the answer of a pop that worked. */
export function messagesOf (answer: Answer): Message[] {
  if (answer.status !== 200 || !Array.isArray(answer.json?.messages)) throw new Error(`pop was answered ${answer.status} ${answer.text}`)
  return answer.json.messages
}

/** Push and insist on being served. */
export async function push (service: Service, items: object[]): Promise<any[]> {
  const answer = await service.push(items)
  if (answer.status !== 201) throw new Error(`push was answered ${answer.status} ${answer.text}`)
  return answer.json
}

/** Pop; `query` is what follows the queue's name. */
export async function pop (service: Service, path: string, init?: RequestInit): Promise<Message[]> {
  return messagesOf(await service.pop(path, init))
}

/** Acknowledge messages of one group under their own leases, with a status or as completed. */
export async function ack (service: Service, messages: readonly Message[], group?: string): Promise<Acked[]> {
  const acknowledgments = messages.map(({ transactionId, partitionId, leaseId }) => ({ transactionId, partitionId, leaseId }))
  const answer = await service.call('POST', '/api/v1/ack/batch', { acknowledgments, ...(group === undefined ? {} : { consumerGroup: group }) })
  if (answer.status !== 200) throw new Error(`ack was answered ${answer.status} ${answer.text}`)
  return answer.json
}

/** Create a queue with options. */
export async function configure (service: Service, queue: string, options: object): Promise<void> {
  const answer = await service.call('POST', '/api/v1/configure', { queue, options })
  if (answer.status !== 200) throw new Error(`configure was answered ${answer.status} ${answer.text}`)
}

/** The numbers of a queue's partitions by name. */
export async function partitionIds (sql: postgres.Sql, queue: string): Promise<Map<string, number>> {
  const rows = await sql<{ id: string, name: string }[]>`
    select p.id, p.name from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = ${queue} order by p.id`
  return new Map(rows.map(row => [row.name, Number(row.id)]))
}

/** A database transaction that is held open by hand. */
export interface Held { sql: postgres.ReservedSql, commit: () => Promise<void>, rollback: () => Promise<void> }

/** Begin a transaction on a connection of its own; rolled back at the end of the test if it is still open. */
export async function hold (t: Test, sql: postgres.Sql): Promise<Held> {
  const own = await sql.reserve()
  let isOpen = true
  const end = async (how: 'commit' | 'rollback'): Promise<void> => {
    if (!isOpen) return
    isOpen = false
    await own.unsafe(how)
    own.release()
  }
  await own`begin`
  t.teardown(async () => { await end('rollback') })
  return { sql: own, commit: async () => { await end('commit') }, rollback: async () => { await end('rollback') } }
}

/** Push by hand, as an instance does that keeps no window: messages with these ids into each partition. Returns the bases. */
export async function pushByHand (sql: postgres.Sql, partitions: readonly number[], ids: readonly string[][]): Promise<number[]> {
  const bodies = ids.map(list => list.map(id => messageLine(JSON.stringify(id), null, null, JSON.stringify({ id }))).join('\n'))
  const rows = await sql<{ base: string, outcome: string }[]>`
    select * from regent.push_v2('{}', '{}', ${plainArray(partitions)}::text::bigint[], ${plainArray(partitions.map(() => 0))}::text::int[], ${plainArray(partitions.map(() => -1))}::text::bigint[],
      ${plainArray(partitions.map(() => 3600))}::text::int[], ${plainArray(partitions.map(() => 1))}::text::int[],
      ${plainArray(ids.map(list => list.length))}::text::int[], ${plainArray(ids.flat().map(hashId))}::text::bigint[], ${bodies.join('\u001e')})`
  if (rows.some(row => row.outcome !== 'ok')) throw new Error(`push by hand: ${JSON.stringify(rows)}`)
  return rows.map(row => Number(row.base))
}

/** How many sessions of this database wait for a lock now. */
export async function blocked (sql: postgres.Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  return row?.count ?? 0
}

/** Wait until so many sessions wait for a lock. */
export async function untilBlocked (sql: postgres.Sql, sessions = 1): Promise<void> {
  await until(async () => await blocked(sql) >= sessions)
}

/** Do something for every element, with at most `width` of them at a time. */
export async function eachAtOnce<T> (list: readonly T[], width: number, work: (element: T, index: number) => Promise<void>): Promise<void> {
  const left = list.entries()
  await all(Array.from({ length: width }, async () => {
    for (const [index, element] of left) await work(element, index)
  }))
}

/** A small generator of pseudo-random numbers below a bound; seeded, so that a failure can be run again. */
export function seededRandom (seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return Math.floor((state >>> 0) / 0x100000000 * below)
  }
}

/** Wait for all of them, then throw what the first that failed threw: nothing goes on behind a test that has ended. */
export async function all<T> (work: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(work)
  return settled.map(result => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}

/** A check for loops that end when everything has arrived: throws once that has taken far too long. */
export function patience (): () => boolean {
  const until = performance.now() + 60_000
  return () => {
    if (performance.now() > until) throw new Error('it does not come to an end')
    return true
  }
}

/** 0 .. count - 1. */
export function numbers (count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}
