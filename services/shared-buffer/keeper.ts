import { RegentError } from '../errors.ts'
import type { FailoverPeers } from '../failover/failover.ts'
import type { OwnBuffer } from '../failover/own-buffer.ts'
import type { Log } from '../queue/types.ts'
import type { FromKeeper, ToKeeper } from './messages.ts'

/** A process that keeps its pushes here. */
export interface Member {
  /** Never throws; what is sent to one that is gone is lost. Messages arrive in order. */
  send: (message: FromKeeper) => void
  /** It does not answer: end it. What it knows of the buffer is out of date. */
  expel: () => void
}

export interface BufferKeeperOptions {
  buffer: OwnBuffer
  log: Log
  /** How long a member may take to hear that a queue is held. */
  answerMs?: number
  /** Between two reports of what the buffer holds. */
  reportMs?: number
}

interface State {
  /** What it has not answered yet: by number, what to call when it has. */
  readonly unanswered: Map<number, () => void>
  isAway: boolean
}

// A process that is busy for longer than this is hung: pushes of all others wait for it.
const ANSWER_MS = 10_000
const REPORT_MS = 100

/**
 * One file buffer for several processes, and one order for all of them: a push that goes to the buffer is answered only
 * when every process knows that its queue has messages there, so that whoever sends the next one, wherever, comes after it.
 */
export class BufferKeeper implements FailoverPeers {
  onAway: () => void = () => {}
  onKept: () => void = () => {}
  readonly #options: BufferKeeperOptions
  readonly #members = new Map<Member, State>()
  /** Queues the members take for held, and the promise that all of them do. */
  readonly #held = new Map<string, Promise<void>>()
  /** Records of a queue that are on their way to the disk. */
  readonly #writing = new Map<string, number>()
  #lastId = 0
  #report: NodeJS.Timeout | null = null
  #isReportDue = false

  constructor (options: BufferKeeperOptions) {
    this.#options = options
    for (const queue of options.buffer.queues()) this.#held.set(queue, Promise.resolve())
  }

  /** A member says something. */
  receive (member: Member, message: ToKeeper): void {
    if (message.kind === 'buffer:join') this.#join(member)
    const state = this.#members.get(member)
    // What was on its way when it left.
    if (state === undefined) return
    if (message.kind === 'buffer:append') {
      void this.#append(member, message.id, message.record)
    } else if (message.kind === 'buffer:held') {
      state.unanswered.get(message.id)?.()
      state.unanswered.delete(message.id)
    } else if (message.kind === 'buffer:away') {
      state.isAway = true
      this.onAway()
    }
  }

  /** A member is gone. */
  leave (member: Member): void {
    const state = this.#members.get(member)
    this.#members.delete(member)
    for (const answered of state?.unanswered.values() ?? []) answered()
  }

  regained (): void {
    for (const [member, state] of this.#members) {
      if (!state.isAway) continue
      state.isAway = false
      member.send({ kind: 'buffer:regained' })
    }
  }

  allowed (messages: number): void {
    const share = Math.ceil(messages / Math.max(1, this.#members.size))
    for (const member of this.#members.keys()) member.send({ kind: 'buffer:allowed', messages: share })
  }

  drained (): void {
    this.#release()
    this.#reportSoon()
  }

  close (): void {
    if (this.#report !== null) clearTimeout(this.#report)
  }

  #join (member: Member): void {
    this.#members.set(member, { unanswered: new Map(), isAway: false })
    const { maxPayloadBytes, figures } = this.#options.buffer
    member.send({ kind: 'buffer:joined', maxPayloadBytes, queues: [...this.#held.keys()], figures })
  }

  async #append (member: Member, id: number, record: { payload: Uint8Array, queues: readonly string[], messages: number }): Promise<void> {
    for (const queue of record.queues) this.#writing.set(queue, (this.#writing.get(queue) ?? 0) + 1)
    const known = this.#hold(record.queues)
    let error: unknown = null
    try {
      await this.#options.buffer.append(record)
      this.onKept()
      this.#reportSoon()
    } catch (fault) {
      error = fault
    }
    for (const queue of record.queues) {
      const left = (this.#writing.get(queue) ?? 1) - 1
      if (left === 0) this.#writing.delete(queue)
      else this.#writing.set(queue, left)
    }
    await known
    member.send({ kind: 'buffer:appended', id, ...(error === null ? {} : { error: this.#faultOf(error) }) })
    if (error !== null) this.#release()
  }

  #faultOf (error: unknown): { code: RegentError['code'], message: string } {
    if (error instanceof RegentError) return { code: error.code, message: error.message }
    this.#options.log.error({ err: error }, 'keeping a push in the file buffer failed')
    return { code: 'RGT_INTERNAL', message: new RegentError('RGT_INTERNAL').message }
  }

  /** Resolves when every member knows that these queues are held. */
  async #hold (queues: readonly string[]): Promise<void> {
    const unknown = queues.filter(queue => !this.#held.has(queue))
    if (unknown.length > 0) {
      const told = Promise.all([...this.#members].map(async ([member, state]) => { await this.#tell(member, state, unknown) })).then(() => {})
      for (const queue of unknown) this.#held.set(queue, told)
    }
    await Promise.all(queues.map(async queue => { await this.#held.get(queue) }))
  }

  async #tell (member: Member, { unanswered }: State, queues: string[]): Promise<void> {
    const id = ++this.#lastId
    await new Promise<void>(resolve => {
      const timer = setTimeout(() => {
        this.#options.log.error({ queues: queues.length }, 'a process that shares the file buffer does not answer and is ended')
        member.expel()
      }, this.#options.answerMs ?? ANSWER_MS)
      unanswered.set(id, () => {
        clearTimeout(timer)
        resolve()
      })
      member.send({ kind: 'buffer:hold', id, queues })
    })
  }

  /** Say which queues have nothing in the buffer any more, nor on the way to it. */
  #release (): void {
    const { buffer } = this.#options
    const queues = [...this.#held.keys()].filter(queue => !buffer.holds(queue) && !this.#writing.has(queue))
    if (queues.length === 0) return
    for (const queue of queues) this.#held.delete(queue)
    const { figures } = buffer
    for (const member of this.#members.keys()) member.send({ kind: 'buffer:released', queues, figures })
  }

  /** At once when nothing was said lately, else at a pace. */
  #reportSoon (): void {
    this.#isReportDue = true
    if (this.#report !== null) return
    this.#isReportDue = false
    const { figures } = this.#options.buffer
    for (const member of this.#members.keys()) member.send({ kind: 'buffer:figures', figures })
    this.#report = setTimeout(() => {
      this.#report = null
      if (this.#isReportDue) this.#reportSoon()
    }, this.#options.reportMs ?? REPORT_MS).unref()
  }
}
