import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { poolSettings } from '../database/connection.ts'
import type { ConnectionOptions } from '../database/connection.ts'
import type { Hint } from '../poll/hint.ts'
import type { Log } from '../queue/types.ts'
import { decodeHints, encodeEntries, entryOf } from './wake-codec.ts'

export interface NotifierOptions {
  connection: ConnectionOptions
  /** Called with what other processes say. */
  onHints: (hints: Hint[]) => void
  /** Called when listening (again) has begun: what was said before was missed. */
  onResync: () => void
  log: Log
  /** How often it is made sure that what is sent is heard, in milliseconds. */
  checkMs?: number
}

// Between two notifications of one process. A NOTIFY takes a database-wide lock at commit, so it must be rare, and it
// is never part of a push's transaction.
const PAUSE_MS = 5
const RETRY_MS = 1000
// How often it is checked that what is sent is heard. The driver listens again by itself after a lost connection, but not
// when that is lost in turn, and a connection that leads nowhere looks like one on which nothing is said.
const CHECK_MS = 10_000
// Beyond so many entries that could not be sent, "everything" says it shorter.
const MOST_UNSENT = 1000

/** LISTEN/NOTIFY between the processes on one database: hints only, nothing is lost when one is. */
export class Notifier {
  readonly #options: NotifierOptions
  readonly #origin = randomBytes(6).toString('base64url')
  readonly #channel: string
  #sql: postgres.Sql
  #pending = new Set<string>()
  readonly #closing = new AbortController()
  #sending: Promise<void> | null = null
  #isClosed = false
  #listening: Promise<void> = Promise.resolve()
  #check: NodeJS.Timeout | null = null
  /** Whether the last check has been heard, or none was sent yet. */
  #isHeard = true
  #isDeaf = false

  constructor (options: NotifierOptions) {
    this.#options = options
    this.#channel = `regent_${options.connection.schema}`
    this.#sql = this.#connect()
  }

  /** Begin to listen; goes on in the background, also when the database is away. */
  start (): void {
    this.#listening = this.#listen(this.#sql)
    this.#check = setInterval(() => { this.#checkHearing() }, this.#options.checkMs ?? CHECK_MS).unref()
  }

  /** Tell the other processes. */
  send (hints: Iterable<Hint>): void {
    for (const hint of hints) this.#pending.add(entryOf(hint))
    this.#schedule()
  }

  async close (): Promise<void> {
    // The last of it goes out within the second that ending allows.
    const last = this.#pending.size > 0 ? this.#sendPending() : null
    this.#isClosed = true
    this.#closing.abort()
    if (this.#check !== null) clearInterval(this.#check)
    await this.#sql.end({ timeout: 1 })
    await Promise.all([last, this.#listening])
  }

  #connect (): postgres.Sql {
    const settings = poolSettings(this.#options.connection)
    return postgres({
      ...settings,
      max: 1,
      connection: {
        ...settings.connection,
        application_name: `${this.#options.connection.applicationName} notify`,
        // Nothing here is worth an fsync. As a text: the driver drops `false`.
        synchronous_commit: 'off'
      }
    })
  }

  async #listen (sql: postgres.Sql): Promise<void> {
    while (!this.#isClosed && this.#sql === sql) {
      try {
        // The third argument is called each time that listening has begun, also when the driver has done so again.
        await sql.listen(this.#channel, payload => { this.#receive(payload) }, () => { this.#options.onResync() })
        return
      } catch (error) {
        if (this.#isClosed || this.#sql !== sql) return
        this.#options.log.debug({ err: error }, 'listening for notifications failed and is tried again')
        await delay(RETRY_MS, undefined, { signal: this.#closing.signal }).catch(() => {})
      }
    }
  }

  /** Say something to ourselves; should the one before not have been heard, connect and listen anew. */
  #checkHearing (): void {
    if (this.#isHeard === this.#isDeaf) {
      this.#isDeaf = !this.#isHeard
      if (this.#isDeaf) this.#options.log.warn({ channel: this.#channel }, 'notifications are not heard: connecting and listening anew until they are')
      else this.#options.log.info({ channel: this.#channel }, 'notifications are heard again')
    }
    if (!this.#isHeard) {
      const deaf = this.#sql
      this.#sql = this.#connect()
      this.#listening = this.#listen(this.#sql)
      // Its statements are rejected, and what they were to send is sent on the new connection.
      deaf.end({ timeout: 0 }).catch((error: unknown) => { this.#options.log.debug({ err: error }, 'closing a deaf connection failed') })
    }
    this.#isHeard = false
    this.#sql`select pg_notify(${this.#channel}, ${this.#origin})`.catch((error: unknown) => {
      if (!this.#isClosed) this.#options.log.debug({ err: error }, 'a notification to ourselves was not sent')
    })
  }

  #receive (payload: string): void {
    const { origin, hints } = decodeHints(payload)
    if (origin === this.#origin) {
      this.#isHeard = true
      return
    }
    this.#options.onHints(hints)
  }

  /** At once when nothing was sent lately, else at a pace. */
  #schedule (): void {
    if (this.#sending !== null || this.#isClosed || this.#pending.size === 0) return
    this.#sending = this.#sendPending().then(async isSent => {
      await new Promise<void>(resolve => { setTimeout(resolve, isSent ? PAUSE_MS : RETRY_MS).unref() })
      this.#sending = null
      this.#schedule()
    })
  }

  /** Whether it got out; if not, it is sent again with what has come by then. */
  async #sendPending (): Promise<boolean> {
    const entries = this.#pending
    this.#pending = new Set()
    try {
      await this.#sql`select pg_notify(${this.#channel}, ${encodeEntries(this.#origin, entries)})`
      return true
    } catch (error) {
      if (!this.#isClosed) this.#options.log.debug({ err: error }, 'a notification was not sent')
      if (entries.size + this.#pending.size > MOST_UNSENT) this.#pending = new Set(['*', '!*'])
      else for (const entry of entries) this.#pending.add(entry)
      return false
    }
  }
}
