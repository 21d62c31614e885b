import { RegentError, hasCode } from '../errors.ts'
import { Histogram, SECONDS } from '../metrics/histogram.ts'
import { isSharedFault } from '../lanes/shared-fault.ts'
import type { Log } from '../queue/types.ts'
import type { Scopes } from '../telemetry/scopes.ts'
import type { Hint } from './hint.ts'
import { Intention, newToken } from './intention.ts'
import type { Spec } from './spec.ts'
import { SpecIndex } from './spec-index.ts'
import type { Delivery, Look, LookSpec, PopRequest } from './types.ts'

export interface RegistryOptions {
  /** Look at the database for several specs in one call. */
  look: (specs: LookSpec[]) => Promise<Look[]>
  /** Give back what was claimed for somebody who is not there any more. */
  release: (group: string, delivery: Delivery) => Promise<void>
  /** Give back what looks may have claimed whose answers were lost. */
  recover: (group: string, tokens: string[]) => Promise<void>
  /** Look at everything that waits this often, in case a wake-up was lost; 0: never. */
  safetyNetMs: number
  /** Pops that may wait at once: each takes some kilobytes, besides its connection, for as long as its client likes. */
  maxParked: number
  /** How long a look whose answer was lost may still be under way at the database; then `recover` is called once more. */
  lostForMs?: number
  /** Makes looks within the scopes of the pops that they are for; null: nobody looks at them. */
  scopes?: Scopes | null
  log: Log
  /** Monotonic, in milliseconds. */
  now?: () => number
}

// A look serves this many requests of a spec, and a call this many specs.
const REQUESTS_PER_LOOK = 64
const SPECS_PER_CALL = 64
const CALLS_AT_ONCE = 4
// A partition that should be available now but was locked: whoever holds it is about to say so, or to let go.
const LOCKED_RETRY_MS = 20
// How long a pop that does not wait is held while the database is away; its client's loop would spin otherwise.
const AWAY_HOLD_MS = 1000
const AWAY_RETRY_MS = 250
// An answer under way when the deadline comes is waited for this long; clients allow a second or two.
const GRACE_MS = 1000
// The only look of a pop that does not wait may take this much longer on a busy database.
const FIRST_LOOK_MS = 5000
const LONGEST_TIMER_MS = 3_600_000
// A server that stood still, or a proxy, may run a statement after its caller has gone and the pool has been replaced.
// It does so as soon as it goes on, which is also when the first recovery succeeds; waiting for locks comes on top.
const LOST_FOR_MS = 10_000

/**
 * The poll-intention registry: pops that wait, grouped by what they want, and woken by pushes and acknowledgements here
 * or elsewhere, by time, and by a slow safety net. Idle, it makes no traffic but the safety net's.
 */
export class PollRegistry {
  /** How long pops that waited took to get messages, in seconds, from when this process had learned of them. */
  readonly wakes = new Histogram(SECONDS)
  readonly #options: RegistryOptions
  readonly #now: () => number
  readonly #specs = new SpecIndex()
  readonly #ready = new Set<Spec>()
  readonly #safetyNet: NodeJS.Timeout | null
  #parked = 0
  #calls = 0
  #isScheduled = false
  #isClosed = false
  #isFailing = false
  #isPaused = false
  readonly #background = new Set<Promise<void>>()

  constructor (options: RegistryOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#safetyNet = options.safetyNetMs > 0 ? setInterval(() => { this.wakeAll() }, options.safetyNetMs) : null
  }

  /** Pops that wait, and distinct things they wait for. */
  get size (): { intentions: number, specs: number } {
    let intentions = 0
    for (const spec of this.#specs.values()) intentions += spec.waiting.size
    return { intentions, specs: this.#specs.size }
  }

  get isPaused (): boolean {
    return this.#isPaused
  }

  /** How many pops wait for each queue; not those that wait for a label. */
  eachParked (visit: (queue: string, pops: number) => void): void {
    for (const { target, waiting } of this.#specs.values()) {
      if (target.queue !== null && waiting.size > 0) visit(target.queue, waiting.size)
    }
  }

  /**
   * Stop looking, or go on. While it stands still, pops that wait are held until their time is over and others find
   * nothing; looks that are under way still serve. Going on looks for everybody at once.
   */
  pause (isPaused: boolean): void {
    if (this.#isPaused === isPaused) return
    this.#isPaused = isPaused
    if (!isPaused) {
      this.wakeAll()
      return
    }
    for (const spec of [...this.#specs.values()]) {
      if (spec.isLooking) continue
      for (const intention of [...spec.waiting]) if (intention.request.waitMs <= 0) this.#settle(spec, intention, null)
    }
  }

  /**
   * Wait for messages. Resolves with a delivery, or with null when there was none in time.
   * @param signal aborted when the client goes away: then what was claimed for it is given back
   * @throws RegentError RGT_OVERLOADED at once when it would wait and as many do as may; nothing else
   */
  async pop (request: PopRequest, signal?: AbortSignal): Promise<Delivery | null> {
    if (this.#isClosed || signal?.aborted === true || (this.#isPaused && request.waitMs <= 0)) return null
    const waits = request.waitMs > 0
    if (waits && this.#parked >= this.#options.maxParked) throw new RegentError('RGT_OVERLOADED')
    const intention = new Intention(request, this.#now(), this.#options.scopes?.current())
    const spec = this.#specs.specFor(request)
    spec.waiting.add(intention)
    if (waits) this.#parked++
    const giveUp = (): void => { this.#settle(spec, intention, null) }
    signal?.addEventListener('abort', giveUp, { once: true })
    const answer = intention.wait(waits ? request.waitMs : AWAY_HOLD_MS, () => {
      // The look under way may be bringing its messages.
      if (spec.isLooking) intention.extend(waits ? GRACE_MS : FIRST_LOOK_MS, giveUp)
      else giveUp()
    })
    this.#makeReady(spec)
    const delivery = await answer
    signal?.removeEventListener('abort', giveUp)
    return delivery
  }

  /** Messages may have become available: look for whoever they can serve. */
  wake (hints: Iterable<Hint>): void {
    for (const hint of hints) {
      for (const spec of this.#specs.meantBy(hint)) {
        if (hint.kind === 'available') spec.heardAt ??= this.#now()
        this.#makeReady(spec)
      }
    }
  }

  /** Look for everybody: wake-ups may have been missed. */
  wakeAll (): void {
    this.wake([{ kind: 'all' }])
  }

  /** Answer everybody empty and give back what is still being claimed. Idempotent. */
  async close (): Promise<void> {
    this.#isClosed = true
    if (this.#safetyNet !== null) clearInterval(this.#safetyNet)
    for (const spec of [...this.#specs.values()]) {
      for (const intention of [...spec.waiting]) this.#settle(spec, intention, null)
    }
    while (this.#background.size > 0) await Promise.all(this.#background)
    const losers = [...this.#specs.values()]
    for (const spec of losers) this.#drop(spec)
    await Promise.all(losers.map(async spec => {
      const tokens = spec.lost.map(({ token }) => token)
      await this.#options.recover(spec.group, tokens).catch((error: unknown) => {
        this.#options.log.warn({ err: error, queue: spec.target.queue, group: spec.group },
          'giving back messages failed; they come back when their lease ends')
      })
    }))
  }

  #drop (spec: Spec): void {
    spec.cancelTimer()
    this.#specs.delete(spec)
    this.#ready.delete(spec)
  }

  #settle (spec: Spec, intention: Intention, delivery: Delivery | null): boolean {
    const isSettled = intention.settle(delivery)
    if (isSettled && intention.request.waitMs > 0) this.#parked--
    spec.waiting.delete(intention)
    if (spec.waiting.size === 0 && !spec.isLooking && spec.lost.length === 0) this.#drop(spec)
    return isSettled
  }

  #makeReady (spec: Spec): void {
    if (spec.isLooking) {
      spec.isStale = true
      return
    }
    this.#ready.add(spec)
    if (this.#isScheduled || this.#calls >= CALLS_AT_ONCE) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  #pump (): void {
    while (this.#calls < CALLS_AT_ONCE && this.#ready.size > 0 && !this.#isPaused) {
      const specs: Spec[] = []
      for (const spec of this.#ready) {
        if (specs.length === SPECS_PER_CALL) break
        this.#ready.delete(spec)
        spec.cancelTimer()
        if (spec.waiting.size === 0 && spec.lost.length === 0) {
          this.#drop(spec)
          continue
        }
        spec.isLooking = true
        spec.isStale = false
        spec.looksSince = spec.heardAt
        spec.heardAt = null
        specs.push(spec)
      }
      if (specs.length === 0) break
      this.#calls++
      this.#track(this.#for([], async () => { await this.#lookAt(specs) }).then(() => {
        this.#calls--
        this.#pump()
      }))
    }
  }

  async #lookAt (specs: Spec[]): Promise<void> {
    try {
      await this.#recoverLost(specs)
      const wanted = specs.filter(spec => spec.waiting.size > 0)
      if (wanted.length > 0) await this.#lookSplitting(wanted)
    } catch (error) {
      for (const spec of specs) this.#holdBack(spec, [], error)
    }
    for (const spec of specs) {
      spec.isLooking = false
      if (spec.waiting.size === 0 && spec.lost.length === 0) this.#drop(spec)
      else if (spec.isStale) this.#makeReady(spec)
      else if (spec.lost.length > 0) this.#lookAgain(spec, Math.min(...spec.lost.map(({ dueAt }) => dueAt)) - this.#now())
    }
  }

  /** One call for all of them; should it fail on what one of them asks for, its neighbours are looked for apart from it. */
  async #lookSplitting (specs: Spec[]): Promise<void> {
    const asked = specs.map(spec => [...spec.waiting].slice(0, REQUESTS_PER_LOOK))
    // Whoever is here now has been looked for, also beyond those asked for, should the look come back with some unserved.
    const present = specs.map(spec => [...spec.waiting])
    try {
      const looks = await this.#for(asked.flat(), async () =>
        await this.#options.look(specs.map((spec, i) => this.#lookSpec(spec, asked[i] ?? []))))
      this.#isFailing = false
      for (const [i, spec] of specs.entries()) {
        const look = looks[i]
        if (look !== undefined) this.#serve(spec, asked[i] ?? [], present[i] ?? [], look)
      }
    } catch (error) {
      if (specs.length > 1 && !isSharedFault(error)) {
        const middle = specs.length >> 1
        await Promise.all([this.#lookSplitting(specs.slice(0, middle)), this.#lookSplitting(specs.slice(middle))])
        return
      }
      for (const [i, spec] of specs.entries()) this.#holdBack(spec, asked[i] ?? [], error)
    }
  }

  /** What is looked for is for these, not for whoever has woken them. */
  async #for<T> (intentions: readonly Intention[], work: () => Promise<T>): Promise<T> {
    const { scopes } = this.#options
    return scopes == null ? await work() : await scopes.run(intentions.map(({ scope }) => scope).filter(scope => scope !== null), work)
  }

  #lookSpec (spec: Spec, asked: Intention[]): LookSpec {
    const oldest = asked[0]
    return {
      target: spec.target,
      group: spec.group,
      subscription: oldest?.request.subscription ?? { mode: 'all' },
      waitedMs: () => oldest === undefined ? 0 : this.#now() - oldest.arrivedAt,
      requests: asked.map(({ request: { batch, partitions, autoAck, waitMs }, token }) => ({ batch, partitions, autoAck, waits: waitMs > 0, token }))
    }
  }

  #serve (spec: Spec, asked: Intention[], present: Intention[], look: Look): void {
    let isDrained = false
    for (const [i, intention] of asked.entries()) {
      const delivery = look.deliveries[i] ?? null
      if (delivery === null) {
        isDrained = true
      } else if (this.#settle(spec, intention, delivery)) {
        // Who came later has not waited for that.
        if (spec.looksSince !== null && intention.arrivedAt <= spec.looksSince) this.wakes.observe((this.#now() - spec.looksSince) / 1000)
      } else {
        // It has gone meanwhile. The messages are the next one's.
        this.#track(this.#giveBack(spec, delivery))
      }
    }
    if (!isDrained || look.state === 'partial' || look.state === 'unfinished') {
      keepsLooking(spec)
      spec.isStale = true
      return
    }
    for (const intention of present) {
      if (intention.isOpen && intention.request.waitMs <= 0) this.#settle(spec, intention, null)
    }
    if (look.nextMs !== null && spec.waiting.size > 0) {
      if (look.nextMs < LOCKED_RETRY_MS) keepsLooking(spec)
      this.#lookAgain(spec, Math.max(look.nextMs + 1, LOCKED_RETRY_MS))
    }
  }

  /** The database is away or refused: nobody gets an error, the existing clients' loops would end on one. */
  #holdBack (spec: Spec, asked: Intention[], error: unknown): void {
    if (hasCode(error, 'RGT_OUTCOME_UNKNOWN')) {
      for (const intention of asked) {
        if (!intention.request.autoAck) spec.lost.push({ token: intention.token, dueAt: 0, isLast: false })
        intention.token = newToken()
      }
    }
    // Thousands may wait through an outage, each looked for several times a second: said once until a look succeeds.
    this.#options.log[this.#isFailing ? 'debug' : 'warn']({ err: error, queue: spec.target.queue, group: spec.group }, 'looking for messages failed')
    this.#isFailing = true
    keepsLooking(spec)
    this.#lookAgain(spec, AWAY_RETRY_MS)
  }

  #lookAgain (spec: Spec, delayMs: number): void {
    if (!this.#isClosed) spec.schedule(Math.min(delayMs, LONGEST_TIMER_MS), () => { this.#makeReady(spec) })
  }

  /** Give back what lost looks have claimed: at once, and again when they must be over. */
  async #recoverLost (specs: Spec[]): Promise<void> {
    for (const spec of specs) {
      const due = spec.lost.filter(({ dueAt }) => dueAt <= this.#now())
      if (due.length === 0) continue
      await this.#options.recover(spec.group, due.map(({ token }) => token))
      spec.lost = spec.lost.filter(lost => !due.includes(lost) || !lost.isLast)
      for (const lost of due) {
        lost.isLast = true
        lost.dueAt = this.#now() + (this.#options.lostForMs ?? LOST_FOR_MS)
      }
    }
  }

  async #giveBack (spec: Spec, delivery: Delivery): Promise<void> {
    try {
      await this.#options.release(spec.group, delivery)
    } catch (error) {
      this.#options.log.warn({ err: error, queue: delivery.queue, group: spec.group, leaseId: delivery.leaseId },
        'giving back messages failed; they come back when their lease ends')
    }
  }

  #track (work: Promise<void>): void {
    const tracked = work.finally(() => { this.#background.delete(tracked) })
    this.#background.add(tracked)
  }
}

/** The next look is for the same messages: they are waited for since then. */
function keepsLooking (spec: Spec): void {
  spec.heardAt = spec.looksSince ?? spec.heardAt
}
