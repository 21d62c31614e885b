import type { Pool } from '../database/pool.ts'
import type { Log } from '../queue/types.ts'

/** The engine, as far as maintenance is concerned. */
export interface Maintained {
  readonly arePopsHeld: boolean
  holdPops: (isHeld: boolean) => void
  onSettings: (listener: () => void) => void
  tellSettings: () => void
}

export interface MaintenanceOptions {
  pool: Pool
  engine: Maintained
  log: Log
  /** The setting is read again this often, in case a notification was lost. */
  rereadMs?: number
}

const KEY = 'pop_maintenance_mode'
const REREAD_MS = 30_000
const READ_TIMEOUT_MS = 2000

/**
 * Pop maintenance: a setting in the database that all processes follow. Whoever changes it tells the others; they read
 * it, and read it again from time to time. What was read last stands while the database is away.
 */
export class Maintenance {
  readonly #options: MaintenanceOptions
  #timer: NodeJS.Timeout | null = null
  #reading: Promise<void> = Promise.resolve()
  /** A reading that has not begun: it will see everything that is there now. */
  #next: Promise<void> | null = null

  constructor (options: MaintenanceOptions) {
    this.#options = options
    options.engine.onSettings(() => { this.#readInBackground() })
  }

  get arePopsHeld (): boolean {
    return this.#options.engine.arePopsHeld
  }

  /** Read the setting and follow it from now on. Never throws. */
  async start (): Promise<void> {
    this.#timer = setInterval(() => { this.#readInBackground() }, this.#options.rereadMs ?? REREAD_MS).unref()
    await this.read().catch((error: unknown) => { this.#warn(error) })
  }

  /** Read the setting and follow it. Readings run one after the other, so an older one never wins. Throws what Pool.call throws. */
  async read (): Promise<void> {
    this.#next ??= this.#reading.then(async () => {
      this.#next = null
      await this.#readOnce()
    })
    const reading = this.#next
    this.#reading = reading.catch(() => {})
    await reading
  }

  /** Hold all pops, or let them go, in every process. Throws what Pool.call throws. */
  async holdPops (isHeld: boolean): Promise<void> {
    const { pool, engine } = this.#options
    await pool.call((sql, schema) => sql`
      insert into ${schema}.settings as t (key, value) values (${KEY}, jsonb_build_object('enabled', ${isHeld}::boolean))
        on conflict (key) do update set value = excluded.value, updated_at = clock_timestamp()`)
    engine.tellSettings()
    await this.read()
  }

  close (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  async #readOnce (): Promise<void> {
    const { pool, engine } = this.#options
    const rows = await pool.call<{ enabled: boolean | null }>((sql, schema) => sql`
      select (value->>'enabled')::boolean as enabled from ${schema}.settings where key = ${KEY}`, READ_TIMEOUT_MS)
    const isHeld = rows[0]?.enabled === true
    if (isHeld !== engine.arePopsHeld) this.#options.log.info({ popMaintenance: isHeld }, 'pop maintenance was switched')
    engine.holdPops(isHeld)
  }

  #readInBackground (): void {
    this.read().catch((error: unknown) => { this.#warn(error) })
  }

  #warn (error: unknown): void {
    this.#options.log.warn({ err: error }, 'reading the maintenance setting failed and is tried again')
  }
}
