import type { Pool } from '../database/pool.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import type { Route } from '../failover/failover.ts'
import { Lane } from '../lanes/lane.ts'
import type { Scopes } from '../telemetry/scopes.ts'
import { retryWhileAway } from '../lanes/retry.ts'
import { RegentError } from '../errors.ts'
import { Appender } from './append.ts'
import { prepare } from './outgoing.ts'
import type { Outgoing } from './outgoing.ts'
import { partitionKey } from './partition-directory.ts'
import type { PartitionDirectory } from './partition-directory.ts'
import type { Available, NewMessage, Origin, PushResult, StoredMessage } from './types.ts'

/** What pushes need of the failover to the file buffer. */
export interface PushFailover {
  routeOf: (messages: readonly Outgoing[]) => Route
  takesOver: (error: unknown) => boolean
  keep: (messages: readonly Outgoing[]) => Promise<PushResult[]>
}

export interface PushOptions {
  pool: Pool
  directory: PartitionDirectory
  keys: KeyRing
  failover: PushFailover
  /** How long a push is tried again while the database is away. */
  keepTryingMs: number
  scopes: Scopes | null
  onAvailable: (events: Available[]) => void
}

/** A request's own end: a call does not fail as a whole when the buffer refuses one of its requests. */
type Outcome = { results: PushResult[] } | { error: unknown }

/**
 * The push lane: concurrent pushes become one call, and one segment per partition. A push takes its turn in the lane also
 * when it goes to the file buffer: those of a partition go one way or the other in the order in which they came.
 */
export class Push {
  readonly #appender: Appender
  readonly #options: PushOptions
  readonly lane: Lane<Outgoing[], Outcome>

  constructor (options: PushOptions) {
    const { pool, directory, keys, failover } = options
    this.#options = options
    this.#appender = new Appender(pool, directory, keys)
    this.lane = new Lane({
      run: async (requests, route) => route === 'buffer' ? await this.#keep(requests) : await this.#store(requests),
      kindOf: messages => failover.routeOf(messages),
      scopes: options.scopes,
      maxCalls: 4,
      maxItems: 5000,
      maxBytes: 4 * 1024 * 1024,
      maxWaiting: 20_000,
      maxWaitingBytes: 256 * 1024 * 1024
    })
  }

  /**
   * Store messages; resolves once they are committed, or durable in the file buffer, with a result per message in order.
   * @throws RegentError of a queue that is full or that there is no key for, of the database being away, slow, unknown
   *   in its outcome, of the buffer being full or unavailable, or of overload
   */
  async push (messages: readonly NewMessage[], origin: Origin): Promise<PushResult[]> {
    if (messages.length === 0) return []
    const outgoing = prepare(messages, origin)
    let bytes = 0
    for (const { line } of outgoing) bytes += line.length
    const outcome = await this.lane.submit(outgoing, partitionsOf(messages), messages.length, bytes).catch((error: unknown) => ({ error }))
    if ('results' in outcome) return outcome.results
    // What went wrong was about other requests of its call.
    if (outgoing.every(({ result }) => result !== null)) return outgoing.map(resultOf)
    throw afterAll(outgoing, outcome.error)
  }

  async #store (requests: Outgoing[][]): Promise<Outcome[]> {
    const { failover, keepTryingMs, onAvailable } = this.#options
    const messages = requests.flat()
    try {
      await retryWhileAway(async () => { await this.#appender.append(messages) }, {
        afterUnknown: () => messages.every(outgoing => outgoing.isRecognisable),
        keepTryingMs
      })
      return requests.map(request => ({ results: request.map(resultOf) }))
    } catch (error) {
      if (failover.takesOver(error)) return await this.#keep(requests, error)
      throw error
    } finally {
      // Also those parts that were written before a later one failed.
      onAvailable(availableAfter(messages))
    }
  }

  /** Into the file buffer. What may have been stored and could not be recognised when it is drained is not kept. */
  async #keep (requests: Outgoing[][], cause?: unknown): Promise<Outcome[]> {
    return await Promise.all(requests.map(async request => {
      if (!request.every(outgoing => outgoing.isRecognisable)) return { error: cause }
      try {
        return { results: await this.#options.failover.keep(request) }
      } catch (error) {
        return { error }
      }
    }))
  }
}

/** The keys of the partitions these go to, each once. */
function partitionsOf (messages: readonly NewMessage[]): string[] {
  const keys = new Set<string>()
  let last: NewMessage | undefined
  for (const message of messages) {
    if (last?.partition !== message.partition || last.queue !== message.queue) keys.add(partitionKey(message.queue, message.partition))
    last = message
  }
  return [...keys]
}

/** What became available through these messages: each partition that was written to, once. */
export function availableAfter (messages: readonly Outgoing[]): Available[] {
  const written = new Set(messages.map(outgoing => outgoing.writtenTo).filter(entry => entry !== null))
  return [...written].map(({ queue, partition, namespace, task }) => ({ queue, partition, namespace, task, group: null }))
}

/** The result of a message that has been appended. */
export function resultOf (outgoing: Outgoing): StoredMessage {
  if (outgoing.result === null) throw new RegentError('RGT_INTERNAL')
  return outgoing.result
}

/**
 * What a request is told that failed. Errors that may be tried again say that nothing was changed: not when part of it was
 * stored, nor after an attempt whose outcome is unknown.
 */
function afterAll (request: readonly Outgoing[], error: unknown): unknown {
  const isChanged = request.some(outgoing => outgoing.mayBeStored || outgoing.result !== null)
  return isChanged && error instanceof RegentError && error.retryable ? new RegentError('RGT_OUTCOME_UNKNOWN', { cause: error }) : error
}
