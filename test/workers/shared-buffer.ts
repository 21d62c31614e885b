// Several processes on one file buffer, in memory but for its files.
import type { Test } from 'tap'
import { FileBuffer } from '../../services/buffer/file-buffer.ts'
import type { FileBufferOptions } from '../../services/buffer/file-buffer.ts'
import { nodeFileSystem } from '../../services/buffer/file-system.ts'
import type { BufferFileSystem } from '../../services/buffer/file-system.ts'
import { Backlog } from '../../services/failover/backlog.ts'
import { OwnBuffer } from '../../services/failover/own-buffer.ts'
import { encodeRecord } from '../../services/failover/record.ts'
import { messageLine } from '../../services/log/line.ts'
import { prepared } from '../../services/queue/outgoing.ts'
import { BufferKeeper } from '../../services/shared-buffer/keeper.ts'
import type { BufferKeeperOptions, Member } from '../../services/shared-buffer/keeper.ts'
import { KeptBuffer } from '../../services/shared-buffer/kept-buffer.ts'
import type { FromKeeper, ToKeeper } from '../../services/shared-buffer/messages.ts'
import { MemoryLog, makeQuickFolder } from '../buffer/support.ts'
import { seededRandom } from '../invariants/support.ts'
import { Links } from './links.ts'
import type { Way } from './links.ts'

export interface Settings {
  seed?: number
  files?: Partial<FileBufferOptions>
  keeper?: Partial<BufferKeeperOptions>
}

/** The keeper of a buffer and those who keep their pushes with it. */
export class SharedBuffer {
  readonly own: OwnBuffer
  readonly keeper: BufferKeeper
  readonly links: Links
  readonly processes: Process[] = []
  readonly log: MemoryLog

  private constructor (own: OwnBuffer, log: MemoryLog, links: Links, options: Partial<BufferKeeperOptions>) {
    this.own = own
    this.log = log
    this.links = links
    this.keeper = new BufferKeeper({ buffer: own, log, reportMs: 5, ...options })
  }

  static async open (t: Test, { seed = 1, files = {}, keeper = {} }: Settings = {}): Promise<SharedBuffer> {
    const log = new MemoryLog()
    const backlog = new Backlog()
    const buffer = await FileBuffer.open({
      directory: makeQuickFolder(t), maxBytes: 1 << 28, fileBytes: 1 << 20, retryPauseMs: 0, log, onRecovered: record => { backlog.recovered(record) }, ...files
    })
    const shared = new SharedBuffer(new OwnBuffer(buffer, backlog), log, new Links(seededRandom(seed)), keeper)
    t.teardown(async () => {
      shared.keeper.close()
      await buffer.close()
    })
    return shared
  }

  /** Starts one more; it has joined when `joined` resolves. */
  begin (): Process {
    const process = new Process(this.keeper, this.links)
    this.processes.push(process)
    return process
  }

  async join (): Promise<Process> {
    const process = this.begin()
    await process.joined
    return process
  }

  /** Those that have joined and live. */
  get members (): Process[] {
    return this.processes.filter(({ hasJoined, isGone }) => hasJoined && !isGone)
  }

  /** Takes records out of the buffer, as the drain does; returns their payloads. */
  async drain (maxRecords = 100): Promise<string[]> {
    const entries = await this.own.files.peek({ maxRecords, maxBytes: 1 << 20 })
    const last = entries.at(-1)
    if (last === undefined) return []
    void this.own.files.release(last.sequence)
    this.own.drained(last.sequence, entries.length)
    this.keeper.drained()
    return entries.map(({ payload }) => payload.toString())
  }
}

/** One that keeps its pushes with another. */
export class Process {
  readonly kept: KeptBuffer
  readonly joined: Promise<void>
  hasJoined = false
  isGone = false
  /** What it was told. */
  readonly allowances: number[] = []
  regained = 0
  changes = 0
  readonly fromKeeper: Way<FromKeeper>
  readonly toKeeper: Way<ToKeeper>
  readonly #member: Member
  readonly #keeper: BufferKeeper
  readonly #links: Links
  #onGone: () => void = () => {}
  /** Resolves when it has ended. */
  readonly gone = new Promise<void>(resolve => { this.#onGone = resolve })

  constructor (keeper: BufferKeeper, links: Links) {
    this.#keeper = keeper
    this.#links = links
    this.#member = { send: message => { this.fromKeeper.send(message) }, expel: () => { this.end() } }
    this.toKeeper = links.way(message => { keeper.receive(this.#member, message) })
    this.fromKeeper = links.way(message => { this.kept.receive(message) })
    this.kept = new KeptBuffer(message => { this.toKeeper.send(message) })
    this.kept.owner = {
      regained: () => { this.regained++ },
      allowed: messages => { this.allowances.push(messages) },
      changed: () => { this.changes++ }
    }
    this.joined = this.kept.join().then(() => { this.hasJoined = true })
  }

  /** Ends at once: what it had sent may arrive all the same, and then the keeper hears of its end. */
  end (arrives = true): void {
    if (this.isGone) return
    this.isGone = true
    this.fromKeeper.cut()
    if (!arrives) this.toKeeper.cut()
    this.toKeeper.hold(false)
    this.#links.way<null>(() => {
      this.toKeeper.cut()
      this.#keeper.leave(this.#member)
      this.#onGone()
    }).send(null)
  }

  /** Keeps a push with a message for each of these queues. */
  async keep (...queues: string[]): Promise<void> {
    const line = messageLine('"some id"', null, null, '1')
    const messages = queues.map(queue => prepared({ queue, partition: 'p', line, sealed: null }))
    await this.kept.append({ ...encodeRecord(messages, { encrypts: () => false, lineOf: ({ line }) => line }), messages: queues.length })
  }
}

/** A disk on which nothing becomes durable while it is held. */
export class SlowDisk {
  /** Writes that wait for it. */
  waiting = 0
  #held: Promise<void> | null = null
  #letGo: () => void = () => {}
  readonly fs: BufferFileSystem = {
    ...nodeFileSystem,
    open: async (path, flags, mode) => {
      const file = await nodeFileSystem.open(path, flags, mode)
      const datasync = file.datasync.bind(file)
      file.datasync = async () => {
        this.waiting++
        await this.#held
        this.waiting--
        await datasync()
      }
      return file
    }
  }

  hold (): void {
    this.#held = new Promise(resolve => { this.#letGo = resolve })
  }

  letGo (): void {
    this.#held = null
    this.#letGo()
  }
}
