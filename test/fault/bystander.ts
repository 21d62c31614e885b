import { setTimeout as delay } from 'node:timers/promises'
import type { Answer } from '../support.ts'
import { request, until } from '../support.ts'

/**
 * A well-behaved client beside hostile ones: it pushes a message, pops it, acknowledges it, and begins again. What it
 * should not have seen is in `faults`.
 */
export class Bystander {
  rounds = 0
  slowestMs = 0
  readonly faults: string[] = []
  readonly #url: string
  readonly #queue: string
  readonly #running: Promise<void>
  #isOver = false

  constructor (url: string, queue = 'bystander') {
    this.#url = url
    this.#queue = queue
    this.#running = this.#run()
  }

  /** Wait until it has been served so many times more. */
  async served (times = 3, timeoutMs = 60_000): Promise<void> {
    const before = this.rounds
    // The round under way may have begun before.
    await until(() => this.rounds > before + times || this.faults.length > 0, timeoutMs)
  }

  async stop (): Promise<void> {
    this.#isOver = true
    await this.#running
  }

  async #run (): Promise<void> {
    while (!this.#isOver && this.faults.length === 0) {
      const startedAt = performance.now()
      try {
        await this.#round(`m${this.rounds}`)
        this.rounds++
      } catch (error) {
        this.faults.push(`${String(error)} ${String((error as Error).cause ?? '')}`)
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedAt)
    }
  }

  async #round (id: string): Promise<void> {
    const pushed = await this.#push(id)
    if (pushed.status !== 201 || pushed.json[0].status !== 'queued') throw new Error(`push of ${id}: ${pushed.status} ${pushed.text}`)
    const popped = await request(`${this.#url}/api/v1/pop/queue/${this.#queue}?wait=true&timeout=30000`)
    const [message, ...others] = popped.json?.messages ?? []
    if (popped.status !== 200 || message?.data !== id || others.length > 0) throw new Error(`pop of ${id}: ${popped.status} ${popped.text}`)
    const { transactionId, partitionId, leaseId } = message
    const acked = await request(`${this.#url}/api/v1/ack`, { method: 'POST', body: JSON.stringify({ transactionId, partitionId, leaseId }) })
    if (acked.status !== 200 || acked.json[0].success !== true) throw new Error(`ack of ${id}: ${acked.status} ${acked.text}`)
  }

  async #push (id: string): Promise<Answer> {
    const body = JSON.stringify({ items: [{ queue: this.#queue, payload: id, transactionId: id }] })
    for (;;) {
      const answer = await request(`${this.#url}/api/v1/push`, { method: 'POST', body })
      // A busy process sheds pushes, and says when to come again.
      if (answer.status !== 503 || answer.json?.code !== 'RGT_OVERLOADED' || answer.headers.get('retry-after') === null) return answer
      await delay(100)
    }
  }
}
