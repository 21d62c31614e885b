import t from 'tap'
import { Broker } from '../../services/channels/broker.ts'
import { FakeClock } from './fake-clock.ts'
import { MemoryClient } from './memory-client.ts'
import { CHUNK, END, ERROR, FINAL, RECEIVE, REQUEST, RESPONSE, START, id, text } from './raw-frames.ts'
import type { Hex, Received } from './raw-frames.ts'
import { seeded } from './seeded.ts'
import { DEFAULT_LIMITS } from './support.ts'

type Random = (limit: number) => number

/** What one client has been sent for one operation, as far as it tells what may still come. */
interface Told {
  hasStart: boolean
  next: number
  isFinal: boolean
  isOver: boolean
}

/** A client whose view is checked frame by frame: order, no gap, nothing after the end, one error at most. */
class Witness extends MemoryClient {
  /** Its own requests, by id: opened and not over. */
  readonly asSender = new Map<Hex, Told>()
  /** Requests that it was given, by sender and id. */
  readonly asReceiver = new Map<Hex, Told & { sender: Hex, request: Hex }>()
  readonly claims = new Set<Hex>()
  readonly faults: string[] = []

  look (everybody: readonly Witness[]): void {
    for (const seen of this.received.splice(0)) {
      const fault = seen.flags === RESPONSE ? this.#asSender(seen) : this.#asReceiver(seen, everybody)
      if (fault !== null) this.faults.push(`${fault}: ${text(seen)}`)
    }
  }

  #asSender (seen: Received): string | null {
    if (seen.client !== this.id) return 'for another client'
    const told = this.asSender.get(seen.request)
    if (seen.type === ERROR) {
      // Errors for anything else are answers to frames that no operation was opened by.
      if (told !== undefined) this.asSender.delete(seen.request)
      for (const [key, given] of this.asReceiver) if (given.request === seen.request) this.asReceiver.delete(key)
      this.claims.delete(seen.request)
      return null
    }
    if (told === undefined) return 'a reply to nothing'
    return this.#step(told, seen, () => this.asSender.delete(seen.request))
  }

  #asReceiver (seen: Received, everybody: readonly Witness[]): string | null {
    const key = seen.client + seen.request
    if (seen.client === this.id) return 'its own request'
    if (seen.channel !== this.channel) return 'of another channel'
    if (seen.type === START) {
      const others = everybody.filter(other => other !== this && !other.isClosed && other.asReceiver.get(key)?.hasStart === true)
      if (others.length > 0 || this.asReceiver.has(key)) return 'given twice'
      this.asReceiver.set(key, { hasStart: true, next: 0, isFinal: false, isOver: false, sender: seen.client, request: seen.request })
      return null
    }
    const told = this.asReceiver.get(key)
    if (told === undefined) return 'data of a request that it was not given'
    return this.#step(told, seen, () => {})
  }

  #step (told: Told, seen: Received, ended: () => void): string | null {
    if (told.isOver) return 'after the end'
    if (seen.type === START) {
      if (told.hasStart) return 'accepted twice'
      told.hasStart = true
    } else if (seen.type === CHUNK) {
      if (!told.hasStart || told.isFinal || seen.index !== told.next) return `chunk ${seen.index} instead of ${told.next}`
      told.next++
      told.isFinal = seen.isFinal
    } else if (seen.type === END) {
      if (!told.isFinal) return 'an end before the final chunk'
      told.isOver = true
      ended()
    }
    return null
  }
}

/** One step of a client: mostly what the protocol allows, sometimes what it does not. */
function act (client: Witness, everybody: readonly Witness[], random: Random, progress: Map<string, number>): void {
  const timeoutMs = random(20) === 0 ? 1 + random(500) : 60_000
  const own = [...client.asSender.keys()]
  const given = [...client.asReceiver.values()]
  const advance = (key: string): number => {
    const at = progress.get(key) ?? 0
    progress.set(key, at + 1)
    return at
  }
  const kind = random(100)
  if (kind < 15) {
    const claim = id()
    client.claims.add(claim)
    client.write(client.bytes({ type: START, flags: RECEIVE, request: claim, timeoutMs }))
  } else if (kind < 30) {
    const request = id()
    client.asSender.set(request, { hasStart: false, next: 0, isFinal: false, isOver: false })
    client.write(client.bytes({ type: START, flags: REQUEST, request, timeoutMs }))
  } else if (kind < 55) {
    const request = own[random(own.length)]
    if (request === undefined || (client.asSender.get(request)?.hasStart !== true && random(30) > 0)) return
    const index = advance(`request ${request}`)
    if (index < 3) client.write(client.bytes({ type: CHUNK, flags: REQUEST, request, sequence: index === 2 ? FINAL + 2 : index, payload: 'x'.repeat(random(300)) }))
    else if (index === 3 || random(50) === 0) client.write(client.bytes({ type: END, flags: REQUEST, request }))
  } else if (kind < 90) {
    const one = given[random(given.length)]
    if (one === undefined) return
    const index = advance(`reply ${client.id} ${one.sender} ${one.request}`)
    const to = { flags: RESPONSE, request: one.request, client: one.sender }
    if (index === 0) client.write(client.bytes({ type: START, ...to }))
    else if (index < 3) client.write(client.bytes({ type: CHUNK, ...to, sequence: index === 2 ? FINAL + 1 : 0, payload: 'y'.repeat(random(300)) }))
    else if (one.isOver || random(50) === 0) {
      client.write(client.bytes({ type: END, ...to }))
      client.asReceiver.delete(one.sender + one.request)
    }
  } else if (kind < 96) {
    client.write(client.bytes({ type: CHUNK, flags: RECEIVE, request: id() }))
  } else {
    misbehave(client, everybody, random)
  }
}

function misbehave (client: Witness, everybody: readonly Witness[], random: Random): void {
  const type = [START, CHUNK, END][random(3)] ?? START
  const sequence = random(2) === 0 ? random(4) : FINAL + random(4)
  const someone = everybody[random(everybody.length)] ?? client
  const [theirs = id()] = someone.asSender.keys()
  const [own = id()] = client.asSender.keys()
  const kind = random(4)
  if (kind === 0) client.write(client.bytes({ type: random(2) === 0 ? ERROR : 9, flags: REQUEST, request: id() }))
  else if (kind === 1) client.write(client.bytes({ type, flags: random(2) === 0 ? REQUEST : RECEIVE, request: id(), client: id() }))
  // Its own, out of turn; another's, which it may have been given or not.
  else if (kind === 2 && client.asSender.has(own)) client.write(client.bytes({ type, flags: REQUEST, request: own, sequence }))
  else client.write(client.bytes({ type, flags: RESPONSE, request: theirs, client: someone.id, sequence }))
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  t.test(`whatever clients do, each sees only what it may, and nothing is left behind (seed ${seed})`, async t => {
    const random = seeded(seed)
    const clock = new FakeClock()
    const broker = new Broker({ limits: { ...DEFAULT_LIMITS, maxQueued: 20, maxOperations: 30 }, log: { debug: () => {} }, clock })
    const channels = [id(), id()]
    const clients: Witness[] = []
    const progress = new Map<string, number>()
    const faults: string[] = []
    for (let step = 0; step < 15_000 && faults.length === 0; step++) {
      if (clients.length < 8) {
        const joined = new Witness(broker, channels[random(2)] ?? '')
        // Its first frame says who it is.
        joined.write(joined.bytes({ type: CHUNK, flags: RECEIVE, request: id() }))
        clients.push(joined)
      }
      const client = clients[random(clients.length)]
      if (client === undefined) continue
      if (random(150) === 0) client.leave()
      else act(client, clients, random, progress)
      if (random(50) === 0) clock.advance(random(100))
      // Writes go out together after each step.
      await Promise.resolve()
      await Promise.resolve()
      for (const one of clients) one.look(clients)
      faults.push(...clients.flatMap(one => one.faults.splice(0)))
      for (const one of clients.filter(({ isClosed }) => isClosed)) clients.splice(clients.indexOf(one), 1)
    }
    t.same(faults, [])
    t.ok(broker.tally.completed > 50 && broker.tally.requeued > 5 && broker.tally.failed > 50 && broker.tally.timedOut > 5, JSON.stringify(broker.tally))
    clock.advance(61_000)
    t.match(broker.figures(), { requests: 0, queued: 0, claims: 0 }, 'everything ends')
    await new Promise(resolve => setImmediate(resolve))
    for (const one of clients) one.look(clients)
    t.same(clients.flatMap(one => [...one.faults, ...one.asSender.keys()]), [], 'and every sender has heard of it')
    for (const one of clients) one.leave()
    t.same(new Set(Object.values(broker.figures())), new Set([0]))
    t.equal(clock.timers.size, 0)
  })
}
