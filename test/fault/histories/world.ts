import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { RegentOptions } from '../../../index.ts'
import { createDatabase, request, startService } from '../../support.ts'
import type { Service } from '../../support.ts'
import { FaultProxy } from '../proxy.ts'
import { Groups } from './groups.ts'
import { Pushes } from './pushes.ts'
import { Random } from './random.ts'

/** A request's answer; null: the connection ended, or its client left. */
export interface Reply { status: number, code: string, json: any }

/** One process's worth of service, with a folder for its buffer and its own way to the database. */
export interface Instance {
  readonly index: number
  readonly proxy: FaultProxy
  readonly options: Partial<RegentOptions>
  service: Service
  /** It is being restarted: what it answers now may be taken for not received. */
  isEnding: boolean
  /** Resolved while it runs. */
  ready: Promise<void>
}

const KEY = '5f'.repeat(32)

/** A database, the services on it, what clients know, and where the pace-maker is in its sequence. */
export class World {
  readonly seed: string
  readonly databaseUrl: string
  readonly instances: Instance[]
  readonly faults: string[] = []
  readonly pushes = new Pushes(this.faults)
  readonly groups = new Groups(this.faults)
  readonly operations = new Map<string, number>()
  readonly made = new Map<string, number>()
  /** Times in which push maintenance was or may have been on: transactions overtake what is buffered then. */
  readonly maintenances: { from: number, until: number }[] = []
  /** Times in which queues surely encrypted, by the wall clock. */
  readonly sealedTimes: { queue: string, from: number, until: number }[] = []
  /** What the retry limit of each queue is or may be. */
  readonly retryLimits = new Map<string, Set<number>>()
  /** What the proxies are to catch. */
  readonly traps = new Set<string>()
  /** No more faults. */
  isCalm = false
  /** One line per thing that happened, to read when something is wrong. */
  readonly trace: string[] = []
  #step = 0
  #waiters: { step: number, resolve: () => void }[] = []

  private constructor (seed: string, databaseUrl: string, instances: Instance[]) {
    this.seed = seed
    this.databaseUrl = databaseUrl
    this.instances = instances
  }

  static async start (t: Test, seed: string): Promise<World> {
    const random = new Random(seed, 'world')
    const databaseUrl = await createDatabase(t)
    const instances: Instance[] = []
    const count = random.between(1, 2)
    for (let index = 0; index < count; index++) {
      const folder = mkdtempSync(join(tmpdir(), 'regent-history-'))
      t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
      const proxy = await FaultProxy.start(t, databaseUrl)
      const options: Partial<RegentOptions> = {
        databaseUrl: proxy.url,
        fileBufferDir: folder,
        fileBufferMaxBatch: random.pick([1, 3, 20, 5000]),
        fileBufferFlushMs: random.pick([20, 100]),
        fileBufferEventsPerFile: random.pick([1, 3, 100]),
        // Less than most of what is asked of a machine that is busy would look like an outage.
        callTimeoutMs: 2000,
        safetyNetMs: 0,
        encryptionKey: KEY,
        workerId: `h${index}`
      }
      instances.push({ index, proxy, options, service: await startService(t, options), isEnding: false, ready: Promise.resolve() })
    }
    return new World(seed, databaseUrl, instances)
  }

  /** A stream of random numbers for a step of a client. */
  stream (client: string, step: number): Random {
    return new Random(this.seed, client, step)
  }

  async call (instance: Instance, method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Reply | null> {
    try {
      const { status, json } = await request(instance.service.url + path, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal })
      })
      // Which is the host application's answer, not ours: see the tests' startService.
      if (status === 503 && instance.isEnding && json?.code === undefined) return null
      return { status, json, code: status < 300 ? '' : String(json?.code) }
    } catch {
      return null
    }
  }

  count (operation: string): void {
    this.operations.set(operation, (this.operations.get(operation) ?? 0) + 1)
  }

  hurt (kind: string): void {
    this.made.set(kind, (this.made.get(kind) ?? 0) + 1)
    this.note(`fault: ${kind}`)
  }

  note (text: string): void {
    this.trace.push(`${performance.now().toFixed(0)} ${text}`)
  }

  /** The pace-maker has done another step of its sequence; Infinity: all of them. */
  advance (step: number): void {
    this.#step = step
    const due = this.#waiters.filter(waiter => waiter.step <= step)
    this.#waiters = this.#waiters.filter(waiter => waiter.step > step)
    for (const { resolve } of due) resolve()
  }

  /** Waits until the pace-maker has come to a step of its sequence. */
  async reached (step: number): Promise<void> {
    if (this.#step >= step) return
    await new Promise<void>(resolve => { this.#waiters.push({ step, resolve }) })
  }

  /** Ends a service in order and starts it again on its folder. */
  async restart (t: Test, instance: Instance): Promise<void> {
    instance.isEnding = true
    let isReady = (): void => {}
    instance.ready = new Promise(resolve => { isReady = resolve })
    await instance.service.close()
    instance.service = await startService(t, instance.options)
    instance.isEnding = false
    isReady()
  }
}
