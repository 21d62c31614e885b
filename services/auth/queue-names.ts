import { LRUCache } from 'lru-cache'
import { plainArray } from '../database/literals.ts'
import type { Pool } from '../database/pool.ts'
import { parseAddress } from '../log/ids.ts'

type Kind = 'partition' | 'group' | 'dead letter'

// Some hundred bytes each.
const MOST_REMEMBERED = 50_000
const LEASE_ID = /^([0-9a-f]{8})-([0-9a-f]{4})-/i

/**
 * Which queues things belong to that are known by numbers. Numbers are never used again and queues are never renamed, so
 * what was found out once holds.
 */
export class QueueNames {
  readonly #pool: Pool
  readonly #known = new LRUCache<string, string>({ max: MOST_REMEMBERED })

  constructor (pool: Pool) {
    this.#pool = pool
  }

  /**
   * The queue of each partition or message id; null where there is none, undefined where the text is none of our ids.
   * Throws what Pool.call throws.
   */
  async ofPartitions (ids: readonly string[]): Promise<(string | null | undefined)[]> {
    return await this.#of('partition', ids.map(id => parseAddress(id)?.partition.toString()))
  }

  /** The same of leases: their ids begin with the number of a consumer group of one queue. */
  async ofLeases (ids: readonly string[]): Promise<(string | null | undefined)[]> {
    return await this.#of('group', ids.map(id => {
      const [, high, low] = LEASE_ID.exec(id) ?? []
      return high === undefined || low === undefined ? undefined : String(Number.parseInt(high + low, 16))
    }))
  }

  /** The same of dead letters, by the digits of their numbers. */
  async ofDeadLetters (ids: readonly string[]): Promise<(string | null | undefined)[]> {
    return await this.#of('dead letter', ids)
  }

  async #of (kind: Kind, numbers: readonly (string | undefined)[]): Promise<(string | null | undefined)[]> {
    const queues = new Map<string, string | null>()
    for (const number of numbers) if (number !== undefined) queues.set(number, this.#known.get(`${kind} ${number}`) ?? null)
    const unknown = [...queues.keys()].filter(number => queues.get(number) === null)
    for (const [number, queue] of unknown.length === 0 ? [] : await this.#read(kind, unknown)) {
      queues.set(number, queue)
      this.#known.set(`${kind} ${number}`, queue)
    }
    return numbers.map(number => number === undefined ? undefined : queues.get(number) ?? null)
  }

  async #read (kind: Kind, numbers: readonly string[]): Promise<[string, string][]> {
    const ids = plainArray(numbers)
    const rows = await this.#pool.call<{ id: string, queue: string }>((sql, schema) => {
      const table = kind === 'partition' ? sql`${schema}.partitions` : kind === 'group' ? sql`${schema}.groups` : sql`${schema}.dead_letters`
      return sql`select t.id::text, q.name as queue from ${table} t join ${schema}.queues q on q.id = t.queue_id where t.id = any(${ids}::text::bigint[])`
    })
    return rows.map(({ id, queue }) => [id, queue])
  }
}
