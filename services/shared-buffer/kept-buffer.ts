import { RegentError } from '../errors.ts'
import type { BufferedPushes, BufferFigures, BufferRecord } from '../failover/buffered-pushes.ts'
import type { FromKeeper, ToKeeper } from './messages.ts'

/** Who is told what the keeper says. */
export interface KeptBufferOwner {
  regained: () => void
  allowed: (messages: number) => void
  /** Other queues are held now, or it holds more or less. */
  changed: () => void
}

const NOBODY: KeptBufferOwner = { regained: () => {}, allowed: () => {}, changed: () => {} }

/** The file buffer as a process sees it for which another one keeps it: services/shared-buffer/keeper.ts. */
export class KeptBuffer implements BufferedPushes {
  owner = NOBODY
  readonly #send: (message: ToKeeper) => void
  readonly #queues = new Set<string>()
  readonly #waiting = new Map<number, { resolve: () => void, reject: (error: unknown) => void }>()
  #maxPayloadBytes = 0
  #figures: BufferFigures = { state: 'empty', messages: 0, bytes: 0, oldestAgeMs: null, quarantined: 0 }
  #figuresAt = 0
  #lastId = 0
  #isAwayTold = false
  #isLost = false
  readonly #joined: Promise<void>
  #onJoined: () => void = () => {}

  /** @param send gets a message to the keeper; never throws */
  constructor (send: (message: ToKeeper) => void) {
    this.#send = send
    this.#joined = new Promise(resolve => { this.#onJoined = resolve })
  }

  get maxPayloadBytes (): number {
    return this.#maxPayloadBytes
  }

  get figures (): BufferFigures {
    const { oldestAgeMs, messages, state } = this.#figures
    const aged = oldestAgeMs === null ? this.#figures : { ...this.#figures, oldestAgeMs: oldestAgeMs + Math.round(performance.now() - this.#figuresAt) }
    // That there is something is known at once, how much comes later.
    return messages > 0 || this.isEmpty ? aged : { ...aged, messages: 1, state: state === 'empty' ? 'buffering' : state }
  }

  get isEmpty (): boolean {
    return this.#queues.size === 0
  }

  holds (queue: string): boolean {
    return this.#queues.has(queue)
  }

  /** Resolves when the keeper has said what it holds; nothing may be pushed before. */
  async join (): Promise<void> {
    this.#send({ kind: 'buffer:join' })
    await this.#joined
  }

  async append (record: BufferRecord): Promise<void> {
    if (this.#isLost) throw lost()
    const id = ++this.#lastId
    await new Promise<void>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#send({ kind: 'buffer:append', id, record })
    })
  }

  /** The database cannot be used: the keeper says when it can be. */
  away (): void {
    if (this.#isAwayTold) return
    this.#isAwayTold = true
    this.#send({ kind: 'buffer:away' })
  }

  receive (message: FromKeeper): void {
    switch (message.kind) {
      case 'buffer:joined':
        this.#maxPayloadBytes = message.maxPayloadBytes
        for (const queue of message.queues) this.#queues.add(queue)
        this.#take(message.figures)
        this.#onJoined()
        break
      case 'buffer:appended':
        this.#settle(message.id, message.error)
        break
      case 'buffer:hold':
        for (const queue of message.queues) this.#queues.add(queue)
        this.#send({ kind: 'buffer:held', id: message.id })
        this.owner.changed()
        break
      case 'buffer:released':
        for (const queue of message.queues) this.#queues.delete(queue)
        this.#take(message.figures)
        break
      case 'buffer:figures':
        this.#take(message.figures)
        break
      case 'buffer:regained':
        this.#isAwayTold = false
        this.owner.regained()
        break
      case 'buffer:allowed':
        this.owner.allowed(message.messages)
        break
    }
  }

  /** The keeper is gone: nothing is kept any more, and nobody knows what became of the last records. */
  lose (): void {
    this.#isLost = true
    for (const { reject } of this.#waiting.values()) reject(new RegentError('RGT_OUTCOME_UNKNOWN', { cause: lost() }))
    this.#waiting.clear()
    // What waited for the drain has nothing to wait for.
    this.owner.allowed(Infinity)
  }

  #take (figures: BufferFigures): void {
    this.#figures = figures
    this.#figuresAt = performance.now()
    this.owner.changed()
  }

  #settle (id: number, error?: { code: RegentError['code'], message: string }): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) {
      waiting?.resolve()
      return
    }
    const fault = new RegentError(error.code)
    fault.message = error.message
    waiting?.reject(fault)
  }
}

function lost (): RegentError {
  return new RegentError('RGT_BUFFER_UNAVAILABLE', { detail: 'the process that keeps it is gone' })
}
