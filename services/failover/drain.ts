import type { Entry } from '../buffer/reader.ts'
import { codeOf } from '../database/faults.ts'
import type { Pool } from '../database/pool.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { RegentError, hasCode } from '../errors.ts'
import { Appender } from '../queue/append.ts'
import type { Outgoing } from '../queue/outgoing.ts'
import { PartitionDirectory } from '../queue/partition-directory.ts'
import type { Log } from '../queue/types.ts'
import { isOutage } from './failover.ts'
import type { Failover } from './failover.ts'
import type { OwnBuffer } from './own-buffer.ts'
import { RecordError, decodeRecord } from './record.ts'

export interface DrainOptions {
  buffer: OwnBuffer
  failover: Failover
  pool: Pool
  keys: KeyRing
  dedupBytes: number
  /** Messages moved by one call; a record with more is moved by itself. */
  batch: number
  /** Between two attempts while the database is away. */
  pauseMs: number
  /** Find out whether push maintenance is on; rejects when that cannot be found out now. */
  readSettings: () => Promise<void>
  /** Messages were stored, or found to be. */
  onStored: (messages: readonly Outgoing[]) => void
  onCreated: (queue: string, partitions: number) => void
  log: Log
  /** Wall clock, ms since 1970; records carry the time of when they were written. */
  now?: () => number
}

interface Batch {
  records: { entry: Entry, heldMs: number, messages: Outgoing[] }[]
  messages: number
}

const MOST_RECORDS = 1000
const MOST_BYTES = 8 * 1024 * 1024
const PROBE_TIMEOUT_MS = 2000
// The disk or the database does not want to: what is tried again at once costs more than it brings.
const FAULT_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 5000
const DOUBTS_TO_SLOW_DOWN = 3
const DOUBTS_TO_BE_STUCK = 8
// Windows are loaded once for records that get older while the drain goes on.
const SPARE_SECONDS = 60

/**
 * Moves what is in the file buffer into the log, in order, as soon as the database can be used and push maintenance is
 * off. Idempotent: what a crash interrupts is moved again, and recognised by its transaction ids as of the time at which
 * it was accepted, however long ago that is.
 */
export class Drain {
  readonly #options: DrainOptions
  readonly #now: () => number
  #running: Promise<void> | null = null
  #isClosed = false
  /** False at the start and after an outage: push maintenance may have been switched on elsewhere. */
  #knowsSettings = false
  /** How often in a row the database said that it could be used, and then could not, as with a full disk: it has to show it. */
  #doubts = 0
  #wake: (() => void) | null = null
  /** What is being moved: kept over an attempt that failed, with what it has settled. */
  #batch: Batch | null = null
  /** The code of what the last attempt failed with, once it was said. */
  #fault: string | null = null
  /** Messages of the next call; fewer after one that took too long. */
  #most: number
  #appender: { appender: Appender, reachSeconds: number } | null = null
  #released: Promise<void> = Promise.resolve()

  constructor (options: DrainOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#most = options.batch
  }

  /** There may be something to do. */
  kick (): void {
    if (this.#isClosed || this.#running !== null || !this.#hasWork()) return
    this.#running = this.#run().catch((error: unknown) => {
      this.#options.failover.allow(Infinity)
      // Once: it is tried again every second.
      if (codeOf(error) !== this.#fault) this.#options.log.error({ err: error }, 'draining the file buffer failed and is tried again until it works')
      this.#fault = codeOf(error)
      return FAULT_PAUSE_MS
    }).then(async pauseMs => {
      await this.#pause(pauseMs ?? 0)
      this.#running = null
      this.kick()
    })
  }

  /** Ends after the call that is under way. Never rejects. */
  async close (): Promise<void> {
    this.#isClosed = true
    this.#wake?.()
    await this.#running
    await this.#released
  }

  #hasWork (): boolean {
    const { failover, buffer } = this.#options
    return failover.isAway || (!failover.isMaintenance && (this.#batch !== null || buffer.files.stats.records > 0))
  }

  async #run (): Promise<void> {
    while (!this.#isClosed && this.#hasWork()) {
      const pauseMs = await this.#step()
      // Also when everything is at hand at once, others get their turn.
      if (pauseMs === null) await new Promise(resolve => setImmediate(resolve))
      else await this.#pause(pauseMs)
    }
    this.#finish()
  }

  /** One attempt; returns how long to pause, or null to go on. */
  async #step (): Promise<number | null> {
    const { failover, pauseMs } = this.#options
    if (failover.isAway) this.#knowsSettings = false
    if (!this.#knowsSettings && !await this.#isUsable()) return pauseMs
    this.#knowsSettings = true
    // Queues that have nothing in the buffer need not wait until something has been moved.
    if (this.#doubts === 0 || this.#isStuck || failover.isMaintenance) failover.regained()
    if (failover.isMaintenance) return null
    try {
      this.#batch ??= await this.#read()
    } catch (error) {
      failover.allow(Infinity)
      // Said by the buffer itself.
      if (hasCode(error, 'RGT_BUFFER_UNAVAILABLE')) return FAULT_PAUSE_MS
      throw error
    }
    const batch = this.#batch
    if (batch.records.length === 0) {
      this.#batch = null
      failover.regained()
      this.#drained(0, 0)
      return null
    }
    // New pushes slow down to half of the drain's pace, so that it gets to its end, where they wait for it.
    const isLast = this.#options.buffer.files.stats.records <= batch.records.length
    failover.allow(failover.isAway ? Infinity : isLast ? 0 : Math.ceil(batch.messages / 2))
    return await this.#move(batch)
  }

  async #move (batch: Batch): Promise<number | null> {
    const { failover, pauseMs } = this.#options
    // At each attempt: what an earlier one has stored must not have come of age meanwhile.
    for (const { entry, heldMs, messages } of batch.records) {
      const ageSeconds = Math.max(0, Math.ceil((this.#now() - entry.timeMs + heldMs) / 1000))
      for (const outgoing of messages) outgoing.ageSeconds = ageSeconds
    }
    try {
      await this.#moveSplitting(batch.records)
    } catch (error) {
      failover.allow(Infinity)
      if (isOutage(error)) {
        this.#doubts++
        this.#takeLess(batch)
        if (!this.#isStuck) failover.lost(error)
        return this.#doubts < DOUBTS_TO_SLOW_DOWN ? pauseMs : Math.min(FAULT_PAUSE_MS * Math.max(1, this.#doubts - DOUBTS_TO_BE_STUCK), LONGEST_PAUSE_MS)
      }
      // It is there, or this is not about it.
      failover.regained()
      if (!isPassing(error)) throw error
      if (hasCode(error, 'RGT_DATABASE_SLOW')) this.#takeLess(batch)
      return FAULT_PAUSE_MS
    }
    const last = batch.records.at(-1)
    this.#batch = null
    this.#most = Math.min(this.#most * 2, this.#options.batch)
    this.#doubts = 0
    this.#fault = null
    failover.regained()
    if (last !== undefined) {
      this.#release(last.entry.sequence)
      this.#drained(last.entry.sequence, batch.messages)
    }
    return null
  }

  /** It is this one record with which the database cannot be used: the queues that are not behind it go on. */
  get #isStuck (): boolean {
    return this.#doubts >= DOUBTS_TO_BE_STUCK && this.#batch?.records.length === 1
  }

  /** What takes too long at once is moved in smaller parts, and what stands before a locked partition goes ahead of it. */
  #takeLess (batch: Batch): void {
    this.#most = Math.max(1, Math.floor(Math.min(this.#most, batch.messages) / 2))
    // What an attempt has settled stays, as it could not be recognised in a queue without deduplication.
    for (let last = batch.records.at(-1); batch.records.length > 1 && batch.messages > this.#most; last = batch.records.at(-1)) {
      if (last === undefined || last.messages.some(outgoing => outgoing.result !== null)) break
      batch.records.pop()
      batch.messages -= last.messages.length
    }
  }

  #drained (sequence: number, messages: number): void {
    const { buffer, failover } = this.#options
    buffer.drained(sequence, messages)
    failover.drained()
  }

  /** Effective at once; that it is remembered is waited for once before the next. */
  #release (sequence: number): void {
    const { buffer, log } = this.#options
    const before = this.#released
    this.#released = buffer.files.release(sequence).then(async () => { await before }).catch((error: unknown) => {
      log.error({ err: error, sequence }, 'releasing records of the file buffer failed')
    })
  }

  async #read (): Promise<Batch> {
    const { buffer, keys } = this.#options
    const most = this.#most
    const batch: Batch = { records: [], messages: 0 }
    for (const entry of await buffer.files.peek({ maxRecords: Math.min(MOST_RECORDS, most), maxBytes: MOST_BYTES })) {
      let record: ReturnType<typeof decodeRecord>
      try {
        record = decodeRecord(entry.payload, keys)
      } catch (error) {
        if (!(error instanceof RecordError)) throw error
        await buffer.files.setAside(entry.sequence, error.message)
        continue
      }
      if (batch.records.length > 0 && batch.messages + record.messages.length > most) break
      batch.records.push({ entry, ...record })
      batch.messages += record.messages.length
    }
    return batch
  }

  /** All in one call; should the database refuse it, what it refuses is found and set aside. */
  async #moveSplitting (records: Batch['records']): Promise<void> {
    const messages = records.flatMap(record => record.messages)
    try {
      await this.#store(messages)
    } catch (error) {
      if (!isRefusal(error)) throw error
      const [record] = records
      if (records.length === 1 && record !== undefined) {
        await this.#moveByQueue(record.entry, record.messages, error)
        return
      }
      const middle = records.length >> 1
      await this.#moveSplitting(records.slice(0, middle))
      await this.#moveSplitting(records.slice(middle))
    }
  }

  /** A record that cannot be stored whole: the messages of its queues one queue after the other, and then it is set aside. */
  async #moveByQueue (entry: Entry, messages: Outgoing[], error: unknown): Promise<void> {
    const queues = new Set(messages.map(outgoing => outgoing.queue))
    const reasons: string[] = queues.size === 1 ? [reasonFor([...queues].join(), error)] : []
    if (queues.size > 1) {
      for (const queue of queues) {
        try {
          await this.#store(messages.filter(outgoing => outgoing.queue === queue))
        } catch (fault) {
          if (!isRefusal(fault)) throw fault
          reasons.push(reasonFor(queue, fault))
        }
      }
    }
    if (reasons.length > 0) await this.#options.buffer.files.setAside(entry.sequence, reasons.join('; '))
    // Should the rest of its batch have to be tried again, this is done.
    messages.length = 0
  }

  async #store (messages: Outgoing[]): Promise<void> {
    // An attempt that failed may have settled some of them.
    const open = messages.filter(outgoing => outgoing.result === null)
    const oldest = open.reduce((age, { ageSeconds }) => Math.max(age, ageSeconds), 0)
    try {
      await this.#appenderFor(oldest).append(open)
    } finally {
      this.#options.onStored(open)
    }
  }

  #appenderFor (ageSeconds: number): Appender {
    const { pool, keys, dedupBytes, onCreated } = this.#options
    if (this.#appender === null || this.#appender.reachSeconds < ageSeconds) {
      const reachSeconds = ageSeconds + SPARE_SECONDS
      const directory = new PartitionDirectory(pool, dedupBytes, { extraWindowSeconds: reachSeconds, ignoresSize: true, onCreated })
      this.#appender = { appender: new Appender(pool, directory, keys), reachSeconds }
    }
    return this.#appender.appender
  }

  /** Whether the database answers and can be written to; then the settings have been read from it. */
  async #isUsable (): Promise<boolean> {
    const { pool, readSettings } = this.#options
    try {
      const [row] = await pool.call<{ writable: boolean }>(sql => sql`
        select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off' as writable`, PROBE_TIMEOUT_MS)
      if (row?.writable !== true) return false
      await readSettings()
      return true
    } catch (error) {
      if (error instanceof RegentError) return false
      throw error
    }
  }

  /** The windows it has loaded are not needed any more. */
  #finish (): void {
    this.#appender = null
    this.#options.failover.allow(Infinity)
  }

  async #pause (ms: number): Promise<void> {
    if (this.#isClosed || ms === 0) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = null
  }
}

// Classes of SQLSTATE that are about the data: data exceptions, constraints, limits of the program, what triggers raise, and
// internal errors. All others (missing functions, permissions …) would befall any record.
const REFUSALS = new Set(['22', '23', '54', 'P0', 'XX'])

/** Whether it is the messages that are wrong, and will be whenever they are tried. */
function isRefusal (error: unknown): boolean {
  return hasCode(error, 'RGT_ENCRYPTION_KEY_MISSING') || REFUSALS.has(codeOf(error).slice(0, 2))
}

/** It is the moment that is wrong, and somebody else has said so. */
function isPassing (error: unknown): boolean {
  return hasCode(error, 'RGT_DATABASE_SLOW') || hasCode(error, 'RGT_OVERLOADED') || hasCode(error, 'RGT_SHUTTING_DOWN') || hasCode(error, 'RGT_BUFFER_UNAVAILABLE')
}

function reasonFor (queue: string, error: unknown): string {
  return `queue ${queue}: ${error instanceof Error ? error.message : String(error)}`
}
