import { LRUCache } from 'lru-cache'
import type { Pool } from '../database/pool.ts'
import { plainArray, textArray } from '../database/literals.ts'
import { DedupWindow, parseSegmentHashes } from '../log/dedup-window.ts'

/** A partition this process has pushed to. */
export interface PartitionEntry {
  readonly key: string
  readonly id: number
  readonly queue: string
  readonly partition: string
  readonly namespace: string
  readonly task: string
  readonly queueId: number
  /** Under which version of the queue's configuration the rest of this was read; a push under an older one is refused. */
  readonly pushVersion: number
  /** Messages the queue may hold; 0: no limit. */
  readonly maxSize: number
  readonly isEncrypted: boolean
  /** For how long the queue refuses the id of a message; 0: not at all. */
  readonly windowSeconds: number
  /** How far back messages are looked for here: at least as far. */
  readonly reachSeconds: number
  /** Null: not loaded, or too large for memory (`isLarge`): then the database checks. */
  window: DedupWindow | null
  isLarge: boolean
  /** When that was found, on the monotonic clock; it is looked at again after a while. */
  largeSince: number
}

interface EnsureRow {
  queue: string
  namespace: string
  task: string
  queue_id: string
  push_version: number
  dedup_window_seconds: number
  max_size: number
  encrypted: boolean
  partition_id: string
  partition: string
  /** This call has made it. */
  made: boolean
}

const MOST_ENTRIES = 200_000
// A slot is two doubles; a partition may take this share of the budget before the database checks it instead.
const SLOT_BYTES = 16
const LARGEST_SHARE = 0.5
const LARGE_FOR_MS = 60_000

/** How a directory differs from what pushes by clients go by. */
export interface DirectoryOptions {
  /** Windows reach back so much further, for messages that were accepted so long ago. */
  extraWindowSeconds?: number
  /** The size a queue is limited to does not count: what comes has been accepted. */
  ignoresSize?: boolean
  onCreated?: (queue: string, partitions: number) => void
}

/** Names a partition within a process. NUL cannot stand in a name. */
export function partitionKey (queue: string, partition: string): string {
  return `${queue}\0${partition}`
}

/**
 * The partitions this process knows: their ids and their deduplication windows, within a memory budget. A cache: what
 * is not here is asked of the database, and a partition that turns out to be gone is forgotten.
 */
export class PartitionDirectory {
  readonly #pool: Pool
  readonly #budgetSlots: number
  readonly #entries: LRUCache<string, PartitionEntry>
  readonly #options: DirectoryOptions
  // What is known of queues, whichever of their partitions it was learnt with.
  readonly #encrypts = new LRUCache<string, { isEncrypted: boolean }>({ max: MOST_ENTRIES })
  #slots = 0

  constructor (pool: Pool, budgetBytes: number, options: DirectoryOptions = {}) {
    this.#pool = pool
    this.#options = options
    this.#budgetSlots = Math.floor(budgetBytes / SLOT_BYTES)
    this.#entries = new LRUCache({
      max: MOST_ENTRIES,
      dispose: entry => {
        this.#slots -= entry.window?.capacity ?? 0
        entry.window = null
      }
    })
  }

  /** Memory held by the windows, in bytes. */
  get windowBytes (): number {
    return this.#slots * SLOT_BYTES
  }

  /** Whether a queue stores its messages encrypted; null when that is not known here. */
  encrypts (queue: string): boolean | null {
    return this.#encrypts.get(queue)?.isEncrypted ?? null
  }

  /** The entries of partitions by key; those that do not exist yet are made, with their queues. */
  async resolve (wanted: Iterable<{ key: string, queue: string, partition: string }>): Promise<Map<string, PartitionEntry>> {
    const entries = new Map<string, PartitionEntry>()
    const queues: string[] = []
    const partitions: string[] = []
    for (const { key, queue, partition } of wanted) {
      const entry = this.#entries.get(key)
      if (entry !== undefined) {
        entries.set(key, entry)
      } else {
        queues.push(queue)
        partitions.push(partition)
      }
    }
    if (queues.length > 0) {
      const rows = await this.#pool.call<EnsureRow>((sql, schema) => sql<EnsureRow[]>`
        select * from ${schema}.ensure_partitions_v2(${textArray(queues)}::text::text[], ${textArray(partitions)}::text::text[])`)
      for (const row of rows) {
        if (row.made) this.#options.onCreated?.(row.queue, 1)
        this.#encrypts.set(row.queue, { isEncrypted: row.encrypted })
        const made = entryOf(row, this.#options)
        // Another call may have been quicker; replacing its entry would drop the window it is about to use.
        const known = this.#entries.get(made.key)
        const entry = known?.id === made.id && known.pushVersion === made.pushVersion ? known : made
        if (entry === made) this.#entries.set(made.key, made)
        entries.set(entry.key, entry)
      }
    }
    return entries
  }

  /** Make sure that the windows of these partitions are in memory, or marked as too large for it. */
  async loadWindows (entries: Iterable<PartitionEntry>): Promise<void> {
    const missing = [...entries].filter(entry => entry.window === null && entry.windowSeconds > 0 &&
      (!entry.isLarge || performance.now() - entry.largeSince > LARGE_FOR_MS))
    if (missing.length === 0) return
    const rows = await this.#pool.call<{ idx: number, head: string, tx: string | null, now_ms: number }>((sql, schema) => sql`
      select * from ${schema}.dedup_window_v1(${plainArray(missing.map(entry => entry.id))}::text::bigint[],
        ${plainArray(missing.map(entry => entry.reachSeconds))}::text::int[], ${this.#largest()}::int)`)
    for (const row of rows) {
      const entry = missing[row.idx - 1]
      // One that was forgotten meanwhile would hold memory nobody gives back; the database checks for it.
      if (entry === undefined || entry.window !== null || this.#entries.peek(entry.key) !== entry) continue
      entry.isLarge = row.tx === null
      entry.largeSince = performance.now()
      if (row.tx === null) continue
      entry.window = new DedupWindow(entry.reachSeconds * 1000, Number(row.head), row.now_ms)
      this.#slots += entry.window.capacity
      for (const segment of parseSegmentHashes(row.tx)) this.#add(entry, segment.hashes, segment.first, row.now_ms)
    }
    this.#shrink()
  }

  /**
   * Take in what a push has learnt: segments of others after `known` up to its base, then its own. A window that was
   * dropped and loaded again meanwhile may end before `known`: it stays as it is, or it would have a hole.
   */
  learn (entry: PartitionEntry, known: number, foreign: string | null, base: number, hashes: number[], createdAtMs: number): void {
    if (entry.window === null || known < 0 || known > entry.window.known) return
    for (const segment of parseSegmentHashes(foreign ?? '')) this.#add(entry, segment.hashes, segment.first, createdAtMs)
    if (hashes.length > 0) this.#add(entry, hashes, base + 1, createdAtMs)
    if (entry.window === null) return
    entry.window.known = Math.max(entry.window.known, base + hashes.length)
    this.#shrink()
  }

  /** Drop a window that has fallen too far behind; it is loaded anew on next use. */
  dropWindow (entry: PartitionEntry): void {
    this.#slots -= entry.window?.capacity ?? 0
    entry.window = null
  }

  /** Forget a partition that is gone. */
  forget (key: string): void {
    const entry = this.#entries.peek(key)
    if (entry !== undefined && !entry.isEncrypted) this.#encrypts.delete(entry.queue)
    this.#entries.delete(key)
  }

  /** Forget all of a queue: it was deleted or configured anew. */
  forgetQueue (queue: string): void {
    this.forgetWhere(name => name === queue)
  }

  /** Forget all queues with such a name. */
  forgetWhere (predicate: (queue: string) => boolean): void {
    for (const [key, entry] of this.#entries.entries()) {
      if (predicate(entry.queue)) this.#entries.delete(key)
    }
    this.#forgetPlain(predicate)
  }

  /** Forget everything, when changes by others may have been missed. */
  clear (): void {
    this.#forgetPlain(() => true)
    this.#entries.clear()
  }

  /** That a queue encrypts is believed until the database says otherwise: what is sealed for nothing does no harm. */
  #forgetPlain (predicate: (queue: string) => boolean): void {
    for (const [queue, { isEncrypted }] of [...this.#encrypts.entries()]) if (!isEncrypted && predicate(queue)) this.#encrypts.delete(queue)
  }

  #largest (): number {
    return Math.floor(this.#budgetSlots * LARGEST_SHARE)
  }

  #add (entry: PartitionEntry, hashes: number[], first: number, createdAtMs: number): void {
    if (entry.window === null) return
    const before = entry.window.capacity
    entry.window.add(hashes, first, createdAtMs)
    this.#slots += entry.window.capacity - before
    if (entry.window.capacity > this.#largest()) {
      this.#slots -= entry.window.capacity
      entry.window = null
      entry.isLarge = true
      entry.largeSince = performance.now()
    }
  }

  /** Past the budget the windows of the partitions that were not used for longest go; they are loaded again on use. */
  #shrink (): void {
    if (this.#slots <= this.#budgetSlots) return
    for (const entry of this.#entries.rvalues()) {
      if (entry === undefined || entry.window === null) continue
      this.#slots -= entry.window.capacity
      entry.window = null
      if (this.#slots <= this.#budgetSlots) return
    }
  }
}

function entryOf (row: EnsureRow, { extraWindowSeconds = 0, ignoresSize = false }: DirectoryOptions): PartitionEntry {
  return {
    key: partitionKey(row.queue, row.partition),
    id: Number(row.partition_id),
    queue: row.queue,
    partition: row.partition,
    namespace: row.namespace,
    task: row.task,
    queueId: Number(row.queue_id),
    pushVersion: row.push_version,
    maxSize: ignoresSize ? 0 : row.max_size,
    isEncrypted: row.encrypted,
    windowSeconds: row.dedup_window_seconds,
    reachSeconds: row.dedup_window_seconds === 0 ? 0 : row.dedup_window_seconds + extraWindowSeconds,
    window: null,
    isLarge: false,
    largeSince: 0
  }
}
