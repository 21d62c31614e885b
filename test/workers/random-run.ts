import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { seededRandom } from '../invariants/support.ts'
import { SharedBuffer } from './shared-buffer.ts'
import type { Process } from './shared-buffer.ts'

const QUEUES = ['a', 'b', 'c', 'd', 'e']
const MESSAGES = 300
const MOST_PROCESSES = 5

export interface Run {
  /** What was found to be wrong. */
  oddities: string[]
  /** What is in the log, by queue. */
  stored: Map<string, number[]>
  /** How many messages each queue's producer has sent. */
  sent: Map<string, number>
  /** Messages that were kept in the buffer, and that went to the log at once; processes that ended; pushes that had to be sent again. */
  tally: { kept: number, direct: number, ended: number, again: number }
}

/**
 * Producers send numbers, one after the other and each to any process. A process writes to the log, unless the database is
 * away for it or the queue is held: then it keeps the message in the buffer, which is drained meanwhile. Processes come and
 * go and are held up.
 */
export async function randomRun (t: Test, seed: number): Promise<Run> {
  const world = new World(await SharedBuffer.open(t, { seed, files: { fileRecords: 20 } }), seededRandom(seed))
  await world.run()
  return world
}

class World implements Run {
  readonly oddities: string[] = []
  readonly stored = new Map<string, number[]>(QUEUES.map(queue => [queue, []]))
  readonly sent = new Map<string, number>()
  readonly tally = { kept: 0, direct: 0, ended: 0, again: 0 }
  readonly #shared: SharedBuffer
  readonly #random: (below: number) => number
  /** Acknowledged records that have not been drained, by queue. */
  readonly #open = new Map<string, number>(QUEUES.map(queue => [queue, -1]))
  readonly #away = new WeakSet<Process>()
  #isOver = false

  constructor (shared: SharedBuffer, random: (below: number) => number) {
    this.#shared = shared
    this.#random = random
    shared.links.onArrived = () => { this.#check('a message arrived') }
  }

  async run (): Promise<void> {
    await this.#shared.join()
    const trouble = this.#trouble()
    const draining = this.#drain()
    await Promise.all(QUEUES.map(async queue => { await this.#produce(queue) }))
    this.#isOver = true
    await Promise.all([trouble, draining])
    await this.#untilReleased()
  }

  async #produce (queue: string): Promise<void> {
    for (let n = 0; n < MESSAGES; n++) {
      while (!await this.#send(queue, n)) this.tally.again++
      this.sent.set(queue, n + 1)
      await this.#turns(6)
    }
  }

  /** Whether it was acknowledged. */
  async #send (queue: string, n: number): Promise<boolean> {
    const { members } = this.#shared
    const process = members[this.#random(members.length)]
    if (process === undefined) {
      await this.#shared.join()
      return false
    }
    if (!this.#away.has(process) && !process.kept.holds(queue)) {
      await this.#turns(6)
      this.#store(queue, n)
      this.tally.direct++
      return true
    }
    const record = { payload: Buffer.from(JSON.stringify([queue, n])), queues: [queue], messages: 1 }
    const isKept = await Promise.race([process.kept.append(record).then(() => true), process.gone.then(() => false)])
    if (!isKept) return false
    this.tally.kept++
    if (!this.#isStored(queue, n)) this.#open.set(queue, n)
    this.#check('a push was acknowledged')
    return true
  }

  /** As the log does it: what is there already is not written again. */
  #store (queue: string, n: number): void {
    if (!this.#isStored(queue, n)) this.stored.get(queue)?.push(n)
  }

  #isStored (queue: string, n: number): boolean {
    return this.stored.get(queue)?.includes(n) === true
  }

  /** Everybody knows of every queue with acknowledged messages in the buffer. */
  #check (when: string): void {
    for (const [queue, last] of this.#open) {
      if (last < 0 || this.#isStored(queue, last)) continue
      for (const { kept } of this.#shared.members) if (!kept.holds(queue)) this.oddities.push(`${when}: a process does not know that ${queue} ${last} is in the buffer`)
    }
  }

  async #drain (): Promise<void> {
    while (!this.#isOver || !this.#shared.own.isEmpty) {
      await this.#turns(40)
      for (const payload of await this.#shared.drain(1 + this.#random(10))) {
        const [queue, n] = JSON.parse(payload) as [string, number]
        this.#store(queue, n)
      }
    }
  }

  async #trouble (): Promise<void> {
    while (!this.#isOver) {
      await this.#turns(30)
      const { members, processes } = this.#shared
      const process = members[this.#random(members.length)]
      const lot = this.#random(10)
      if (lot < 3 && processes.filter(({ isGone }) => !isGone).length < MOST_PROCESSES) this.#shared.begin()
      else if (process === undefined) continue
      else if (lot === 3) this.#end(process)
      else if (lot < 6) await this.#holdUp(process)
      else if (lot === 6) this.#away.add(process)
      else this.#away.delete(process)
    }
  }

  #end (process: Process): void {
    process.end(this.#random(2) === 0)
    this.tally.ended++
  }

  async #holdUp (process: Process): Promise<void> {
    const way = this.#random(2) === 0 ? process.fromKeeper : process.toKeeper
    way.hold(true)
    await this.#turns(80)
    way.hold(false)
  }

  async #untilReleased (): Promise<void> {
    for (let left = 10_000; left > 0; left--) {
      await turn()
      if (this.#shared.own.isEmpty && this.#shared.members.every(({ kept }) => kept.isEmpty)) return
    }
    this.oddities.push('not everything was released')
  }

  async #turns (most: number): Promise<void> {
    for (let left = this.#random(most); left > 0; left--) await turn()
  }
}
