/** A way for messages from one process to another. */
export interface Way<M> {
  /** Never fails; what is sent to one that is gone is lost. */
  send: (message: M) => void
  /** While it is held nothing arrives, and nothing is lost. */
  hold: (isHeld: boolean) => void
  /** Messages on their way. */
  readonly waiting: number
  /** What is on its way never arrives, nor does anything else. */
  cut: () => void
}

interface Queue { waiting: (() => void)[], isHeld: boolean, isCut: boolean }

/**
 * Ways between processes in one: messages arrive later, copied, and in order on each way; which way is the next one is drawn
 * by lot, so that one may be far behind another.
 */
export class Links {
  /** Called after each message that has arrived. */
  onArrived: () => void = () => {}
  readonly #random: (below: number) => number
  readonly #queues: Queue[] = []
  #isRunning = false

  constructor (random: (below: number) => number) {
    this.#random = random
  }

  way<M> (receive: (message: M) => void): Way<M> {
    const queue: Queue = { waiting: [], isHeld: false, isCut: false }
    this.#queues.push(queue)
    return {
      send: message => {
        if (queue.isCut) return
        const copy = structuredClone(message)
        queue.waiting.push(() => { receive(copy) })
        this.#run()
      },
      get waiting () { return queue.waiting.length },
      hold: isHeld => {
        queue.isHeld = isHeld
        this.#run()
      },
      cut: () => {
        queue.isCut = true
        queue.waiting.length = 0
      }
    }
  }

  #run (): void {
    if (this.#isRunning) return
    this.#isRunning = true
    setImmediate(() => {
      this.#isRunning = false
      const open = this.#queues.filter(({ waiting, isHeld }) => waiting.length > 0 && !isHeld)
      if (open.length === 0) return
      // A few at a time, and sometimes none: disks and answers get their turn in between.
      for (let left = this.#random(4); left > 0; left--) {
        open[this.#random(open.length)]?.waiting.shift()?.()
        this.onArrived()
      }
      this.#run()
    })
  }
}
