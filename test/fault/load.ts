import { setTimeout as delay } from 'node:timers/promises'
import type postgres from 'postgres'
import type { Test } from 'tap'
import type { Answer, Service } from '../support.ts'
import { until } from '../support.ts'

const PARTITIONS = 6

/**
 * Producers and consumers that behave as the existing clients do: they repeat what was answered 5xx or not at all. It
 * keeps books, so that in the end every message can be accounted for. The queue's leases outlast any test: a claim that
 * got lost on its way would be missed.
 */
export class Load {
  readonly #service: Service
  readonly #queue: string
  readonly #pushed = new Set<string>()
  readonly #acked = new Set<string>()
  readonly #begun: Promise<void>[] = []
  #isProducing = true
  #isOver = false
  #next = 0
  /** Requests answered well, to see the service resume. */
  answered = 0
  slowestMs = 0
  readonly faults: string[] = []
  readonly statuses = new Map<string, number>()

  constructor (service: Service, queue: string) {
    this.#service = service
    this.#queue = queue
    for (let i = 0; i < 4; i++) this.#begun.push(this.#produce())
    for (let i = 0; i < 3; i++) this.#begun.push(this.#consume())
  }

  get pushed (): number {
    return this.#pushed.size
  }

  /** Stop producing, wait until everything has been consumed, and check the books. */
  async settle (t: Test, sql: postgres.Sql): Promise<void> {
    this.#isProducing = false
    await until(() => this.#acked.size >= this.#pushed.size, 30_000).catch(() => {})
    this.#isOver = true
    await Promise.all(this.#begun)
    t.equal(this.#acked.size, this.#pushed.size, 'every push that was answered has been consumed')
    t.strictSame(this.faults, [])
    const [stored] = await sql`
      select sum(count)::int as n, (select count(distinct h)::int from regent.segments, unnest(tx) as h) as ids
        from regent.segments s join regent.partitions p on p.id = s.partition_id join regent.queues q on q.id = p.queue_id
        where q.name = ${this.#queue}`
    t.equal(stored?.n, this.#pushed.size, 'stored once each')
    t.equal(stored?.ids, this.#pushed.size)
  }

  async #call (method: string, path: string, body?: unknown): Promise<Answer | null> {
    const startedAt = performance.now()
    try {
      const answer = await this.#service.call(method, path, body)
      if (answer.status < 300) this.answered++
      const word = `${path.split('/')[3] ?? ''} ${answer.status} ${answer.json?.code ?? ''}`
      this.statuses.set(word, (this.statuses.get(word) ?? 0) + 1)
      return answer
    } finally {
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedAt)
    }
  }

  async #produce (): Promise<void> {
    while (this.#isProducing) {
      const ids = Array.from({ length: 5 }, () => `m${this.#next++}`)
      const items = ids.map((transactionId, i) => ({ queue: this.#queue, partition: `p${(this.#next + i) % PARTITIONS}`, payload: transactionId, transactionId }))
      for (;;) {
        const answer = await this.#call('POST', '/api/v1/push', { items })
        if (answer?.status === 201) break
        if (answer?.status !== 503) this.faults.push(`push ${answer?.status} ${answer?.text}`)
        await delay(50)
      }
      for (const id of ids) this.#pushed.add(id)
      await delay(5)
    }
  }

  async #consume (): Promise<void> {
    while (!this.#isOver) {
      const popped = await this.#call('GET', `/api/v1/pop/queue/${this.#queue}?batch=20&partitions=2&wait=true&timeout=1000`)
      if (popped?.status !== 200) this.faults.push(`pop ${popped?.status} ${popped?.text}`)
      const messages: { transactionId: string, data: string }[] = popped?.json?.messages ?? []
      for (const { data } of messages) if (this.#acked.has(data)) this.faults.push(`${data} came again after it had been acknowledged`)
      if (messages.length === 0) continue
      for (;;) {
        const answer = await this.#call('POST', '/api/v1/ack/batch', { acknowledgments: messages.map(message => ({ ...message, status: 'completed' })) })
        if (answer?.status === 200) {
          for (const [i, { success, error }] of (answer.json as { success: boolean, error: string }[]).entries()) {
            const id = messages[i]?.data ?? ''
            if (success) this.#acked.add(id)
            else this.faults.push(`ack of ${id}: ${error}`)
          }
          break
        }
        if (answer?.status !== 503) this.faults.push(`ack ${answer?.status} ${answer?.text}`)
        await delay(50)
      }
    }
  }
}
