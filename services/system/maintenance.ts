import type { Pool } from '../database/pool.ts'
import type { Log } from '../queue/types.ts'

/** The engine, as far as maintenance is concerned. */
export interface Maintained {
  readonly arePopsHeld: boolean
  readonly arePushesHeld: boolean
  holdPops: (isHeld: boolean) => void
  holdPushes: (isHeld: boolean) => void
  onSettings: (read: () => Promise<void>) => void
  tellSettings: () => void
}

export interface MaintenanceOptions {
  pool: Pool
  engine: Maintained
  log: Log
  /** The settings are read again this often, in case a notification was lost. */
  rereadMs?: number
}

const POPS = 'pop_maintenance_mode'
const PUSHES = 'maintenance_mode'
const REREAD_MS = 30_000
const READ_TIMEOUT_MS = 2000

/**
 * Pop and push maintenance: settings in the database that all processes follow. Whoever changes one tells the others; they
 * read it, and read it again from time to time. What was read last stands while the database is away.
 */
export class Maintenance {
  readonly #options: MaintenanceOptions
  #timer: NodeJS.Timeout | null = null
  #reading: Promise<void> = Promise.resolve()
  /** A reading that has not begun: it will see everything that is there now. */
  #next: Promise<void> | null = null

  constructor (options: MaintenanceOptions) {
    this.#options = options
    options.engine.onSettings(async () => { await this.read() })
  }

  get arePopsHeld (): boolean {
    return this.#options.engine.arePopsHeld
  }

  get arePushesHeld (): boolean {
    return this.#options.engine.arePushesHeld
  }

  /** Read the settings and follow them from now on. Never throws. */
  async start (): Promise<void> {
    this.#timer = setInterval(() => { this.#readInBackground() }, this.#options.rereadMs ?? REREAD_MS).unref()
    await this.read().catch((error: unknown) => { this.#warn(error) })
  }

  /** Read the settings and follow them. Readings run one after the other, so an older one never wins. Throws what Pool.call throws. */
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
    await this.#set(POPS, isHeld)
  }

  /** Keep all pushes in the file buffers, or let them go, in every process. Throws what Pool.call throws. */
  async holdPushes (isHeld: boolean): Promise<void> {
    await this.#set(PUSHES, isHeld)
  }

  close (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  async #set (key: string, isOn: boolean): Promise<void> {
    const { pool, engine } = this.#options
    await pool.call((sql, schema) => sql`
      insert into ${schema}.settings as t (key, value) values (${key}, jsonb_build_object('enabled', ${isOn}::boolean))
        on conflict (key) do update set value = excluded.value, updated_at = clock_timestamp()`)
    engine.tellSettings()
    await this.read()
  }

  async #readOnce (): Promise<void> {
    const { pool, engine, log } = this.#options
    const rows = await pool.call<{ key: string }>((sql, schema) => sql`
      select key from ${schema}.settings where key in (${POPS}, ${PUSHES}) and (value->>'enabled')::boolean`, READ_TIMEOUT_MS)
    const popMaintenance = rows.some(({ key }) => key === POPS)
    const pushMaintenance = rows.some(({ key }) => key === PUSHES)
    if (popMaintenance !== engine.arePopsHeld) log.info({ popMaintenance }, 'pop maintenance was switched')
    if (pushMaintenance !== engine.arePushesHeld) log.info({ pushMaintenance }, 'push maintenance was switched')
    engine.holdPops(popMaintenance)
    engine.holdPushes(pushMaintenance)
  }

  #readInBackground (): void {
    this.read().catch((error: unknown) => { this.#warn(error) })
  }

  #warn (error: unknown): void {
    this.#options.log.warn({ err: error }, 'reading the maintenance settings failed and is tried again')
  }
}
