import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import { poolSettings } from '../database/connection.ts'
import type { ConnectionOptions } from '../database/connection.ts'
import type { Available, Log } from '../queue/types.ts'
import { availableEntry, changedEntry, decodeHints, encodeHints } from './wake-codec.ts'
import type { Hint } from './wake-codec.ts'

export interface NotifierOptions {
  connection: ConnectionOptions
  /** Called with what other processes say. */
  onHint: (hint: Hint) => void
  /** Called when listening (again) has begun: what was said before was missed. */
  onResync: () => void
  log: Log
}

// Between two notifications of one process. A NOTIFY takes a database-wide lock at commit, so it must be rare, and it
// is never part of a push's transaction.
const PAUSE_MS = 5
const RETRY_MS = 1000

/** LISTEN/NOTIFY between the processes on one database: hints only, nothing is lost when one is. */
export class Notifier {
  readonly #options: NotifierOptions
  readonly #origin = randomBytes(6).toString('base64url')
  readonly #channel: string
  readonly #sql: postgres.Sql
  #pending = new Set<string>()
  #timer: NodeJS.Timeout | null = null
  #isSending = false
  #isClosed = false
  #listening: Promise<void> = Promise.resolve()

  constructor (options: NotifierOptions) {
    this.#options = options
    this.#channel = `regent_${options.connection.schema}`
    const settings = poolSettings(options.connection)
    this.#sql = postgres({
      ...settings,
      max: 1,
      connection: {
        ...settings.connection,
        application_name: `${options.connection.applicationName} notify`,
        // Nothing here is worth an fsync. As a text: the driver drops `false`.
        synchronous_commit: 'off'
      }
    })
  }

  /** Begin to listen; goes on in the background, also when the database is away. */
  start (): void {
    this.#listening = this.#listen()
  }

  /** Tell the other processes what became available here. */
  available (events: readonly Available[]): void {
    for (const event of events) this.#pending.add(availableEntry(event))
    this.#schedule()
  }

  /** Tell the other processes that a queue was configured or deleted. */
  changed (queue: string): void {
    this.#pending.add(changedEntry(queue))
    this.#schedule()
  }

  async close (): Promise<void> {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#sql.end({ timeout: 1 })
    await this.#listening
  }

  async #listen (): Promise<void> {
    while (!this.#isClosed) {
      try {
        // The driver listens again by itself after a lost connection and calls the third argument each time.
        await this.#sql.listen(this.#channel, payload => { this.#receive(payload) }, () => { this.#options.onResync() })
        return
      } catch (error) {
        if (this.#isClosed) return
        this.#options.log.warn({ err: error }, 'listening for notifications failed and is tried again')
        await new Promise<void>(resolve => { this.#timer = setTimeout(resolve, RETRY_MS) })
      }
    }
  }

  #receive (payload: string): void {
    const { origin, hints } = decodeHints(payload)
    if (origin === this.#origin) return
    for (const hint of hints) this.#options.onHint(hint)
  }

  #schedule (): void {
    if (this.#isSending || this.#isClosed) return
    this.#isSending = true
    void this.#send().finally(() => {
      // At once when nothing was sent lately, else at this pace.
      setTimeout(() => {
        this.#isSending = false
        if (this.#pending.size > 0) this.#schedule()
      }, PAUSE_MS).unref()
    })
  }

  async #send (): Promise<void> {
    const payload = encodeHints(this.#origin, this.#pending)
    this.#pending = new Set()
    try {
      await this.#sql`select pg_notify(${this.#channel}, ${payload})`
    } catch (error) {
      // The others look by themselves before long: their safety net, and theirs is the resynchronisation too.
      if (!this.#isClosed) this.#options.log.debug({ err: error }, 'a notification was not sent')
    }
  }
}
