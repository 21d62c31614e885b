import { openConnections } from '../http-connection.ts'
import type { HttpConnection } from '../http-connection.ts'
import type { FlowJob, LoadResult, PreparedLoad } from '../jobs.ts'
import { PushRequests, numberIn } from '../messages.ts'
import { percentiles } from '../statistics.ts'
import { Tally } from '../tally.ts'
import { Ledger, Patience, PopAnswer, acknowledge } from './deliveries.ts'

interface Producer { connection: HttpConnection, requests: PushRequests }

const LOOK_MS = 100
// Longer than any measurement: consumers are let go by closing their connections.
const POP_TIMEOUT_MS = 600_000
const UNBOUNDED_PER_SECOND = 50_000

/**
 * Producers and consumers at once, each message timed from when it was due to when a consumer has it. It was due when the
 * schedule said so, also when it could only be sent later: a system that falls behind must not be asked less often for
 * having done so (coordinated omission). Without a rate it is due when it is sent.
 */
export async function flow (job: FlowJob): Promise<PreparedLoad> {
  const running = new Flow(job)
  await running.open()
  return running
}

class Flow implements PreparedLoad {
  readonly #job: FlowJob
  readonly #tally = new Tally()
  readonly #patience = new Patience()
  readonly #ledger: Ledger
  readonly #producers: Producer[] = []
  #consumers: HttpConnection[] = []
  #idle: Producer[] = []
  readonly #batches: number
  /** When each batch was due, and what sending and answering it took from then on. */
  readonly #dueAt: Float64Array
  readonly #sendDelays: number[] = []
  readonly #pushLatencies: number[] = []
  #sent = 0
  #delivered = 0
  #pushing = 0
  #endAt = Infinity
  #timer: NodeJS.Timeout | undefined
  #isOver = false
  #failed: (error: unknown) => void = () => {}
  #done: () => void = () => {}

  constructor (job: FlowJob) {
    this.#job = job
    this.#batches = Math.ceil((job.rate ?? UNBOUNDED_PER_SECOND) * job.seconds / job.pushBatch)
    this.#dueAt = new Float64Array(this.#batches)
    this.#ledger = new Ledger(this.#batches * job.pushBatch, this.#tally, job.firstNumber)
  }

  async open (): Promise<void> {
    const { url, queue, pushBatch: batch, producers, consumers } = this.#job
    for (const [i, connection] of (await openConnections(url, producers)).entries()) {
      this.#producers.push({ connection, requests: new PushRequests({ url, queue, batch, offset: i * batch }) })
    }
    this.#consumers = await openConnections(url, consumers)
  }

  async run (): Promise<LoadResult> {
    const { rate, seconds, pushBatch, firstNumber } = this.#job
    const ended = new Promise<void>((resolve, reject) => {
      this.#done = resolve
      this.#failed = reject
    })
    const startedAt = performance.now()
    this.#patience.progress(startedAt)
    this.#idle = [...this.#producers]
    for (const connection of this.#consumers) this.#guard(this.#consume(connection))
    if (rate === null) {
      this.#endAt = startedAt + seconds * 1000
      this.#pushFreely()
    } else {
      for (let i = 0; i < this.#batches; i++) this.#dueAt[i] = startedAt + i * pushBatch / rate * 1000
      this.#pushWhenDue()
    }
    const watch = setInterval(() => { if (this.#patience.isOver || this.#isComplete()) this.#done() }, LOOK_MS)
    try {
      await ended
    } finally {
      clearInterval(watch)
      clearTimeout(this.#timer)
      this.#isOver = true
    }
    const missing = this.#sent * pushBatch - this.#ledger.count
    if (missing > 0) this.#tally.fault(`${missing} messages never came`)
    if (rate !== null && this.#sent < this.#batches) this.#tally.fault(`${this.#batches - this.#sent} pushes were never sent`)
    const pushes = percentiles(this.#pushLatencies)
    return this.#tally.result((this.#patience.lastAt - startedAt) / 1000, {
      nextNumber: firstNumber + this.#batches * pushBatch,
      figures: { pushP50Ms: pushes?.p50Ms ?? 0, pushP99Ms: pushes?.p99Ms ?? 0, sendDelayP99Ms: percentiles(this.#sendDelays)?.p99Ms ?? 0 }
    })
  }

  close (): void {
    this.#isOver = true
    for (const { connection } of this.#producers) connection.close()
    for (const connection of this.#consumers) connection.close()
  }

  #isComplete (): boolean {
    const hasSentAll = this.#job.rate === null ? performance.now() >= this.#endAt : this.#sent === this.#batches
    return hasSentAll && this.#pushing === 0 && this.#ledger.count === this.#sent * this.#job.pushBatch
  }

  #pushWhenDue (): void {
    clearTimeout(this.#timer)
    while (!this.#isOver) {
      const dueAt = this.#dueAt[this.#sent]
      // Whoever is answered goes on.
      if (dueAt === undefined || this.#idle.length === 0) return
      const now = performance.now()
      if (dueAt > now) {
        this.#timer = setTimeout(() => { this.#pushWhenDue() }, dueAt - now)
        return
      }
      this.#push(dueAt, now, () => { this.#pushWhenDue() })
    }
  }

  #pushFreely (): void {
    const { pushBatch, window } = this.#job
    while (!this.#isOver && this.#idle.length > 0 && this.#sent < this.#batches) {
      const now = performance.now()
      if (now >= this.#endAt || (this.#sent + 1) * pushBatch - this.#delivered > window) return
      this.#dueAt[this.#sent] = now
      this.#push(now, now, () => { this.#pushFreely() })
    }
  }

  #push (dueAt: number, now: number, next: () => void): void {
    const producer = this.#idle.pop()
    if (producer === undefined) return
    const { pushBatch, partitions, firstNumber } = this.#job
    const turn = this.#sent++
    this.#pushing++
    this.#sendDelays.push(now - dueAt)
    this.#guard(producer.connection.send(producer.requests.next(turn % partitions, firstNumber + turn * pushBatch)).then(({ status, body }) => {
      this.#pushing--
      this.#tally.requests++
      this.#pushLatencies.push(performance.now() - dueAt)
      if (status !== 201 || body.includes('"status":"duplicate"')) this.#tally.fault(`a push was answered ${status}: ${body.slice(0, 200)}`)
      this.#idle.push(producer)
      next()
    }))
  }

  async #consume (connection: HttpConnection): Promise<void> {
    const { queue, popBatch, pushBatch, firstNumber, rate } = this.#job
    const path = `/api/v1/pop/queue/${queue}?batch=${popBatch}&wait=true&timeout=${POP_TIMEOUT_MS}`
    while (!this.#isOver) {
      const { status, body } = await connection.get(path)
      const now = performance.now()
      const answer = new PopAnswer(body)
      if (status !== 200 || answer.ids.length === 0) throw new Error(`a waiting pop was answered ${status}: ${body.slice(0, 200)}`)
      this.#ledger.take(answer)
      for (const id of answer.ids) {
        const dueAt = this.#dueAt[Math.floor((numberIn(id) - firstNumber) / pushBatch)]
        if (dueAt !== undefined) this.#tally.latency(now - dueAt)
      }
      this.#tally.requests++
      this.#tally.messages += answer.ids.length
      this.#delivered += answer.ids.length
      this.#patience.progress(now)
      await acknowledge(connection, answer, null, this.#tally)
      if (rate === null) this.#pushFreely()
    }
  }

  // What is still waiting at the end is ended with its connection.
  #guard (work: Promise<void>): void {
    work.catch((error: unknown) => { if (!this.#isOver) this.#failed(error) })
  }
}
