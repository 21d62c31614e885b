import { sealLine } from '../encryption/sealed-line.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { RegentError, hasCode } from '../errors.ts'
import type { Outgoing } from '../queue/outgoing.ts'
import type { PartitionDirectory } from '../queue/partition-directory.ts'
import type { BufferedMessage, Log, PushResult } from '../queue/types.ts'
import type { BufferedPushes, BufferFigures } from './buffered-pushes.ts'
import { encodeRecord } from './record.ts'

/** Where a push goes: into the log at once, or into the file buffer; null: it waits a moment for the drain to catch up. */
export type Route = 'log' | 'buffer' | null

export const FAILOVER_STATES = ['direct', 'away', 'maintenance', 'draining'] as const

/**
 * `direct`: pushes go to the database. `away`: it cannot be used, they go to the buffer. `maintenance`: they go to the
 * buffer because somebody wants it so. `draining`: the database is back, and queues that have messages in the buffer are
 * caught up with.
 */
export type FailoverState = typeof FAILOVER_STATES[number]

/** Processes of the same server that keep their pushes in the buffer of this one. */
export interface FailoverPeers {
  /** Set by whoever is to know that one of them cannot use the database. */
  onAway: () => void
  /** Set by whoever is to know that one of them has kept a push. */
  onKept: () => void
  /** The database can be used again. */
  regained: () => void
  /** So many messages may join the buffer now. */
  allowed: (messages: number) => void
  /** Messages have left the buffer. */
  drained: () => void
}

export interface FailoverOptions {
  /** Null: there is none, and pushes are refused where they would go to it. */
  buffer: BufferedPushes | null
  /** Those that are to hear what becomes of the buffer. */
  peers?: FailoverPeers | undefined
  directory: PartitionDirectory
  keys: KeyRing
  /** The buffer may be drained, or the database is to be looked after. */
  onWork: () => void
  /** Pushes that were told to wait may go on. */
  onPassable: () => void
  log: Log
}

/** Decides whether pushes go to the database or to the file buffer, so that each queue's order is kept. */
export class Failover {
  readonly #options: FailoverOptions
  #isAway = false
  #isMaintenance = false
  #isClosing = false
  /** While draining, messages that may still join the buffer before the drain has got further. */
  #allowance = Infinity
  #state: FailoverState = 'direct'

  constructor (options: FailoverOptions) {
    this.#options = options
  }

  get state (): FailoverState {
    return this.#state
  }

  /** The database was away when it was last used or looked after. */
  get isAway (): boolean {
    return this.#isAway
  }

  get isMaintenance (): boolean {
    return this.#isMaintenance
  }

  /** Messages in the buffer. */
  get messages (): number {
    return this.buffer?.messages ?? 0
  }

  /** What the buffer holds, for status and metrics; null when there is none. */
  get buffer (): BufferFigures | null {
    return this.#options.buffer?.figures ?? null
  }

  /** Where a push goes now. */
  routeOf (messages: readonly Outgoing[]): Route {
    if (this.#isMaintenance) return 'buffer'
    const { buffer } = this.#options
    if (buffer === null || (!this.#isAway && buffer.isEmpty)) return 'log'
    if (this.#isAway) return 'buffer'
    if (!this.holdsAny(messages)) return 'log'
    if (this.#allowance <= 0) return null
    // Counted here, as all that wait are asked at once.
    this.#allowance -= messages.length
    return 'buffer'
  }

  /** Whether a queue of these messages has others in the buffer, which come first. */
  holdsAny (messages: readonly { queue: string }[]): boolean {
    let queue: string | undefined
    for (const message of messages) {
      if (message.queue === queue) continue
      queue = message.queue
      if (this.#options.buffer?.holds(queue) === true) return true
    }
    return false
  }

  /** A push to the database failed; whether it goes to the buffer instead. */
  takesOver (error: unknown): boolean {
    if (!isOutage(error) || this.#options.buffer === null) return false
    this.lost(error)
    return true
  }

  /** The database cannot be used now. */
  lost (error: unknown): void {
    if (!this.#isAway) this.#options.log.warn({ err: error }, 'the database is away')
    this.#isAway = true
    this.#changed()
    this.#options.onWork()
  }

  /** The database can be used again. */
  regained (): void {
    this.#isAway = false
    this.#changed()
    this.#options.peers?.regained()
  }

  /** Switch push maintenance: while it is on, everything goes to the buffer and stays there. */
  maintain (isOn: boolean): void {
    this.#isMaintenance = isOn
    this.#changed()
    if (!isOn) this.#options.onWork()
  }

  /**
   * Put the messages of one push into the buffer, but for those that an attempt has stored already.
   * @throws RegentError RGT_BUFFER_FULL, RGT_BUFFER_UNAVAILABLE, RGT_OVERLOADED; RGT_PUSHES_HELD when there is no buffer;
   *   RGT_ENCRYPTION_KEY_MISSING
   */
  async keep (messages: readonly Outgoing[]): Promise<PushResult[]> {
    const { buffer } = this.#options
    if (buffer === null) throw new RegentError('RGT_PUSHES_HELD')
    const open = messages.filter(outgoing => outgoing.result === null)
    if (open.length > 0) {
      const { payload, queues } = encodeRecord(open, { encrypts: queue => this.#options.directory.encrypts(queue), lineOf: outgoing => this.#lineOf(outgoing) })
      // Too much for an empty buffer too, but not for the database: it is to be tried again.
      if (payload.length > buffer.maxPayloadBytes) throw new RegentError('RGT_BUFFER_FULL')
      await buffer.append({ payload, queues, messages: open.length })
      this.#changed()
      this.#options.onWork()
    }
    return messages.map(outgoing => outgoing.result ?? buffered(outgoing))
  }

  /** The drain is about to move messages: at most so many may join the buffer until it calls again. */
  allow (messages: number): void {
    // What came through beyond the last allowance, as a push is never torn, counts towards this one.
    this.#allowance = this.#isClosing ? Infinity : Math.min(this.#allowance, 0) + messages
    if (this.#allowance > 0) this.#options.onPassable()
    this.#options.peers?.allowed(messages)
  }

  /** Messages have left the buffer, or nothing more was found in it. */
  drained (): void {
    this.#changed()
    // Some queues may have been caught up with.
    this.#options.onPassable()
    this.#options.peers?.drained()
  }

  /** Nobody waits any more. */
  close (): void {
    this.#isClosing = true
    this.allow(Infinity)
  }

  /** As it is stored, and never in clear text when the queue encrypts: where that is not known, it is sealed. */
  #lineOf (outgoing: Outgoing): string {
    const { directory, keys } = this.#options
    const encrypts = directory.encrypts(outgoing.queue)
    if (encrypts === false || (encrypts === null && !keys.canSeal)) return outgoing.line
    outgoing.sealed ??= sealLine(keys, outgoing, outgoing.line)
    return outgoing.sealed
  }

  #changed (): void {
    const before = this.#state
    this.#state = this.#isMaintenance ? 'maintenance' : this.#isAway ? 'away' : this.#options.buffer?.isEmpty === false ? 'draining' : 'direct'
    if (this.#state === before) return
    this.#options.log.info({ state: this.#state, before, messages: this.messages, bytes: this.buffer?.bytes ?? 0 }, `pushes: ${MEANING[this.#state]}`)
  }
}

const MEANING: Readonly<Record<FailoverState, string>> = {
  direct: 'stored in the database',
  away: 'buffered, the database is away',
  maintenance: 'buffered, push maintenance is on',
  draining: 'the file buffer is drained'
}

/** Whether an error says that the database cannot be used now, whatever it is asked for. */
export function isOutage (error: unknown): boolean {
  return hasCode(error, 'RGT_DATABASE_AWAY') || hasCode(error, 'RGT_DATABASE_BUSY') || hasCode(error, 'RGT_OUTCOME_UNKNOWN')
}

function buffered ({ queue, partition, transactionId }: Outgoing): BufferedMessage {
  return { status: 'buffered', queue, partition, transactionId }
}
