import { Pool } from '../database/pool.ts'
import type { ConnectionOptions } from '../database/connection.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { FieldError } from '../json/field-error.ts'
import { RegentError } from '../errors.ts'
import { Drain } from '../failover/drain.ts'
import { Failover } from '../failover/failover.ts'
import type { FailoverPeers } from '../failover/failover.ts'
import type { OwnBuffer } from '../failover/own-buffer.ts'
import { Removals } from '../jobs/removals.ts'
import { KEEP_TRYING_MS } from '../lanes/retry.ts'
import { Counters } from '../metrics/counters.ts'
import type { Histogram } from '../metrics/histogram.ts'
import type { LaneMeasures, LaneName } from '../metrics/observed.ts'
import { Notifier } from '../notify/notifier.ts'
import { hintOf, shortName } from '../poll/hint.ts'
import type { Hint } from '../poll/hint.ts'
import { PollRegistry } from '../poll/registry.ts'
import type { Delivery, PopRequest } from '../poll/types.ts'
import type { Scopes } from '../telemetry/scopes.ts'
import type { KeptBuffer } from '../shared-buffer/kept-buffer.ts'
import { Ack } from './ack.ts'
import { configureQueue, deleteQueue } from './configure.ts'
import type { QueueConfiguration, ConfiguredQueue } from './configure.ts'
import { Deliveries } from './deliveries.ts'
import { extendLease } from './lease.ts'
import type { ExtendedLease } from './lease.ts'
import { PartitionDirectory } from './partition-directory.ts'
import { PassedBy } from './passed-by.ts'
import { lookForMessages, recoverClaims, releaseDelivery } from './pop.ts'
import { Push, availableAfter } from './push.ts'
import { separateUnreadable } from './readable.ts'
import { Transaction } from './transaction.ts'
import type { TransactionInput, TransactionResult } from './transaction.ts'
import type { Acknowledgement, AckResult, Available, Log, NewMessage, Origin, PushResult } from './types.ts'

/** A buffer of this process, which drains it, maybe for others as well; or one that another process keeps and drains. */
export type BufferOptions = { kept: KeptBuffer } | {
  own: OwnBuffer
  peers: FailoverPeers | undefined
  /** Messages moved to the database by one call. */
  drainBatch: number
  /** Between two looks at a database that is away. */
  drainPauseMs: number
}

export interface EngineOptions {
  pool: Pool
  connection: ConnectionOptions
  /** Look for parked pops this often in case a wake-up was lost; 0: never. */
  safetyNetMs: number
  /** Pops that may wait at once. */
  maxParkedPops: number
  /** Memory for deduplication windows and for remembered deliveries, in bytes. */
  dedupBytes: number
  deliveryBytes: number
  /** Keys of encrypted queues. */
  keys: KeyRing
  /** Takes pushes while the database is away; null: they are refused then. */
  buffer: BufferOptions | null
  /** Tells spans of the database's calls for whom they are made; null without telemetry. */
  scopes: Scopes | null
  log: Log
}

// A backend that was terminated is replaced within this; what takes longer is for the file buffer.
const KEEP_TRYING_WITH_BUFFER_MS = 500
// Long enough for the partitions behind it, short enough for a process that has the key.
const UNREADABLE_HOLD_MS = 5000
const NOBODY: Origin = { producerSub: null, context: null }

/**
 * The queue engine: push, pop, acknowledge, transact. Plain TypeScript over one pool; routes and embedding code call it.
 */
export class Engine {
  /** Opens what was stored encrypted; deliveries hold lines as they are stored. */
  readonly keys: KeyRing
  /** What is done here, counted. */
  readonly counters = new Counters()
  readonly #pool: Pool
  readonly #directory: PartitionDirectory
  readonly #deliveries: Deliveries
  readonly #registry: PollRegistry
  readonly #notifier: Notifier
  readonly #push: Push
  readonly #ack: Ack
  readonly #transaction: Transaction
  readonly #failover: Failover
  readonly #drain: Drain | null
  readonly #removals: Removals
  readonly #scopes: Scopes | null
  readonly #log: Log
  #readSettings: () => Promise<void> = async () => {}

  constructor (options: EngineOptions) {
    const { pool, keys, scopes, log } = options
    this.keys = keys
    this.#pool = pool
    this.#scopes = scopes
    this.#log = log
    this.#removals = new Removals(pool, log)
    this.#directory = new PartitionDirectory(pool, options.dedupBytes, { onCreated: (queue, count) => { this.counters.partitionsCreated(queue, count) } })
    this.#deliveries = new Deliveries(options.deliveryBytes)
    const passedBy = new PassedBy()
    this.#registry = new PollRegistry({
      look: async specs => {
        const startedAt = performance.now()
        const { looks, expiredLeases } = await lookForMessages(pool, passedBy, specs)
        this.counters.looked(performance.now() - startedAt, expiredLeases)
        return looks
      },
      release: async (group, delivery) => { await this.#release(group, delivery) },
      recover: async (group, tokens) => { await recoverClaims(pool, group, tokens) },
      safetyNetMs: options.safetyNetMs,
      maxParked: options.maxParkedPops,
      scopes,
      log
    })
    this.#notifier = new Notifier({
      connection: options.connection,
      onHints: hints => { this.#hear(hints) },
      onResync: () => {
        this.#directory.clear()
        this.#registry.wakeAll()
        this.#settingsChanged()
      },
      log
    })
    const onAvailable = (events: Available[]): void => { this.announce(events) }
    const { buffer } = options
    const own = buffer !== null && 'own' in buffer ? buffer : null
    const kept = buffer !== null && 'kept' in buffer ? buffer.kept : null
    this.#failover = new Failover({
      buffer: own?.own ?? kept,
      peers: own?.peers,
      directory: this.#directory,
      keys,
      onWork: () => {
        this.#kickDrain()
        if (this.#failover.isAway) kept?.away()
      },
      onPassable: () => { this.#push.lane.kick() },
      log
    })
    this.#drain = own === null ? null : this.#drainOf(own, options)
    if (own?.peers !== undefined) {
      own.peers.onAway = () => { this.#failover.lost(new RegentError('RGT_DATABASE_AWAY')) }
      own.peers.onKept = () => { this.#kickDrain() }
    }
    if (kept !== null) {
      kept.owner = {
        regained: () => { this.#failover.regained() },
        allowed: messages => { this.#failover.allow(messages) },
        changed: () => { this.#failover.drained() }
      }
    }
    this.#push = new Push({
      pool,
      directory: this.#directory,
      keys,
      failover: this.#failover,
      keepTryingMs: buffer === null ? KEEP_TRYING_MS : KEEP_TRYING_WITH_BUFFER_MS,
      scopes,
      onAvailable
    })
    this.#ack = new Ack({ pool, deliveries: this.#deliveries, scopes, onAvailable })
    this.#transaction = new Transaction({ pool, directory: this.#directory, keys, ack: this.#ack, scopes, onAvailable })
  }

  #drainOf ({ own, drainBatch, drainPauseMs }: Exclude<BufferOptions, { kept: KeptBuffer }>, { pool, keys, dedupBytes, log }: EngineOptions): Drain {
    return new Drain({
      buffer: own,
      failover: this.#failover,
      pool,
      keys,
      dedupBytes: dedupBytes / 2,
      batch: drainBatch,
      pauseMs: drainPauseMs,
      readSettings: async () => { await this.#readSettings() },
      onStored: messages => {
        this.counters.drained(messages)
        this.announce(availableAfter(messages))
      },
      onCreated: (queue, count) => { this.counters.partitionsCreated(queue, count) },
      log
    })
  }

  start (): void {
    this.#notifier.start()
    this.#kickDrain()
  }

  /** Numbers of what waits here, for health and metrics. */
  get load (): { parkedPops: number, pushesWaiting: number, acksWaiting: number, transactionsWaiting: number, dedupBytes: number } {
    return {
      parkedPops: this.#registry.size.intentions,
      pushesWaiting: this.#push.lane.load.waiting,
      acksWaiting: this.#ack.lane.load.waiting,
      transactionsWaiting: this.#transaction.lane.load.waiting,
      dedupBytes: this.#directory.windowBytes
    }
  }

  /** The lanes, by what they are for. */
  get lanes (): Record<LaneName, LaneMeasures> {
    return { push: this.#push.lane, ack: this.#ack.lane, transaction: this.#transaction.lane }
  }

  /** How long waiting pops took to be served once messages were there, in seconds. */
  get wakes (): Histogram {
    return this.#registry.wakes
  }

  /** Store messages; see Push.push. */
  async push (messages: readonly NewMessage[], origin = NOBODY): Promise<PushResult[]> {
    const startedAt = performance.now()
    const results = await this.#push.push(messages, origin)
    this.counters.pushed(results, performance.now() - startedAt)
    return results
  }

  /** Take messages, waiting for them if asked to; null when there are none. Throws RGT_OVERLOADED when too many wait, and nothing else. */
  async pop (request: PopRequest, signal?: AbortSignal): Promise<Delivery | null> {
    const delivery = await this.#registry.pop(request, signal)
    if (delivery !== null) this.#deliveries.remember(delivery)
    // Who has gone was not answered.
    if (delivery !== null || signal?.aborted !== true) this.counters.popped(request, delivery)
    return delivery
  }

  /** Give back a delivery that did not reach its consumer. Never rejects: at worst the lease runs out. */
  async giveBack (group: string, delivery: Delivery, holdMs = 0): Promise<void> {
    try {
      await this.#release(group, delivery, holdMs)
    } catch (error) {
      this.#log.warn({ err: error, queue: delivery.queue, leaseId: delivery.leaseId }, 'giving back messages failed; they come back when their lease ends')
    }
  }

  /**
   * Give back the partitions of a delivery that hold messages which cannot be decrypted here, and leave them alone for a
   * while: another process may have the key, and other partitions are to have their turn.
   * @returns the rest of it; null when nothing is left. Never rejects.
   */
  async giveBackUnreadable (group: string, delivery: Delivery): Promise<Delivery | null> {
    const { readable, unreadable } = separateUnreadable(this.keys, delivery)
    if (unreadable !== null) await this.giveBack(group, unreadable, UNREADABLE_HOLD_MS)
    return readable
  }

  /** Acknowledge messages; see Ack.ack. */
  async ack (acks: readonly Acknowledgement[]): Promise<AckResult[]> {
    const startedAt = performance.now()
    const results = await this.#ack.ack(acks)
    this.counters.acked(acks, results, performance.now() - startedAt)
    return results
  }

  /** Acknowledge and push as one database transaction; see Transaction.commit. */
  async transact (input: TransactionInput): Promise<TransactionResult> {
    // In maintenance transactions go on, as consumers do: what is buffered may stay so for hours.
    const behind = this.#failover.isMaintenance ? undefined : input.pushes.find(push => this.#failover.holdsAny([push]))
    if (behind !== undefined) throw new RegentError('RGT_QUEUE_DRAINING', { detail: behind.queue })
    const result = await this.#transaction.commit(input)
    this.counters.transacted(input, result)
    return result
  }

  /** Extend a lease by its id. */
  async extend (leaseId: string, seconds: number): Promise<ExtendedLease> {
    return await extendLease(this.#pool, leaseId, seconds)
  }

  /** Create a queue or replace its configuration. Throws FieldError when it is to be encrypted and there is no key. */
  async configure (configuration: QueueConfiguration): Promise<ConfiguredQueue> {
    if (configuration.options.encryptionEnabled === true && !this.keys.canSeal) {
      // Storing clear text where encryption was asked for would be worse than refusing.
      throw new FieldError('options.encryptionEnabled', 'unsupported',
        'options.encryptionEnabled: this server has no encryption key; set QUEEN_ENCRYPTION_KEY or ENCRYPTION_KEYS')
    }
    const configured = await configureQueue(this.#pool, configuration)
    this.changed(configuration.queue)
    return configured
  }

  /** Delete a queue with everything in it; whether there was one. It is gone at once, its room is freed afterwards. */
  async deleteQueue (queue: string): Promise<boolean> {
    const existed = await deleteQueue(this.#pool, queue)
    this.changed(queue)
    if (existed) this.clearRemovals()
    return existed
  }

  /** Free the room of what was deleted (a queue, a partition, a consumer group) in the background. Never throws. */
  clearRemovals (): void {
    this.#forNobody(() => { this.#removals.kick() })
  }

  /** Whether pops are held: they find nothing, whatever there is. */
  get arePopsHeld (): boolean {
    return this.#registry.isPaused
  }

  /** Hold pops, or let them go: then everybody who waits is looked for at once. */
  holdPops (isHeld: boolean): void {
    this.#registry.pause(isHeld)
  }

  /** Whether pushes are to stay in the file buffer. */
  get arePushesHeld (): boolean {
    return this.#failover.isMaintenance
  }

  /** Keep pushes in the file buffer, or let them go: then it is drained. */
  holdPushes (isHeld: boolean): void {
    this.#failover.maintain(isHeld)
  }

  /** Where pushes go, and what of them has not reached the database yet. */
  get failover (): Pick<Failover, 'state' | 'messages' | 'buffer' | 'isMaintenance'> {
    return this.#failover
  }

  /** How settings are read that another process may have changed; it rejects when that cannot be done now. */
  onSettings (read: () => Promise<void>): void {
    this.#readSettings = read
  }

  /** Tell the other processes that settings were changed. */
  tellSettings (): void {
    this.#notifier.send([{ kind: 'settings' }])
  }

  /** How many pops wait for each queue. */
  eachParked (visit: (queue: string, pops: number) => void): void {
    this.#registry.eachParked(visit)
  }

  /** Answer every parked pop; they hold up a graceful shutdown otherwise. Further pops are answered empty at once. */
  async stopPolling (): Promise<void> {
    await this.#registry.close()
  }

  /** Finish what was taken and let go of everything but the pool. */
  async close (): Promise<void> {
    await this.#registry.close()
    const drained = this.#drain?.close()
    this.#failover.close()
    await Promise.all([this.#push.lane.close(), this.#ack.lane.close(), this.#transaction.lane.close()])
    await drained
    await Promise.all([this.#notifier.close(), this.#removals.close()])
  }

  async #release (group: string, delivery: Delivery, holdMs = 0): Promise<void> {
    await releaseDelivery(this.#pool, delivery, holdMs)
    this.announce([...new Set(delivery.runs.map(run => run.partition))].map(partition =>
      ({ queue: delivery.queue, namespace: delivery.namespace, task: delivery.task, partition, group })))
  }

  #kickDrain (): void {
    this.#forNobody(() => { this.#drain?.kick() })
  }

  /** Begin what goes on long after whoever has brought it about. */
  #forNobody (begin: () => void): void {
    if (this.#scopes === null) begin()
    else this.#scopes.run([], begin)
  }

  /** Wake parked pops, here and in the other processes: messages of these partitions can be had. */
  announce (events: readonly Available[]): void {
    this.#tell(events.map(hintOf))
  }

  /** What is known of a queue's configuration and partitions, here and in the other processes, is to be read anew. */
  changed (queue: string): void {
    this.#directory.forgetQueue(queue)
    this.#tell([{ kind: 'changed', queue: shortName(queue) }])
  }

  #settingsChanged (): void {
    this.#readSettings().catch((error: unknown) => {
      this.#log.warn({ err: error }, 'reading the maintenance settings failed and is tried again')
    })
  }

  #tell (hints: Hint[]): void {
    this.#registry.wake(hints)
    this.#notifier.send(hints)
  }

  #hear (hints: Hint[]): void {
    const changed = new Set(hints.filter(hint => hint.kind === 'changed').map(hint => hint.queue))
    if (changed.has('*')) this.#directory.clear()
    else if (changed.size > 0) this.#directory.forgetWhere(queue => changed.has(shortName(queue)))
    // What is too much for one notification says no more than that everything may have changed.
    if (changed.has('*') || hints.some(hint => hint.kind === 'settings')) this.#settingsChanged()
    this.#registry.wake(hints)
  }
}
