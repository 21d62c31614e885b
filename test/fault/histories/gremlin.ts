import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Caught } from '../proxy.ts'
import { maintain } from './operator.ts'
import type { Instance, World } from './world.ts'

const STATEMENTS = {
  push: /push_v2/,
  ack: /ack_v1\(/,
  look: /pop_v2/,
  transaction: /transaction_v2/,
  partitions: /ensure_partitions_v2/,
  settle: /confirm_duplicates_v1/
}

// The service tries acknowledgements again for three seconds.
const LONGER_THAN_TRIED_MS = 3500

/** Takes the database away, cuts connections and restarts instances, one after the other, at steps of the pace-maker. */
export async function haunt (t: Test, world: World, client: string, steps: number): Promise<void> {
  for (let step = 0; step < steps;) {
    const random = world.stream(client, step)
    const from = step + random.between(3, 12)
    const until = from + random.between(1, 20)
    await world.reached(from)
    if (from >= steps) return
    const instance = random.pick(world.instances)
    const kind = random.weighted({ outage: 30, 'outage for all': 15, cut: 25, 'short outages': 10, restart: 14, 'restart during an outage': 6, 'lost answer before an outage': 15 })
    world.hurt(kind)
    if (kind === 'cut') {
      instance.proxy.cutAll()
    } else if (kind === 'short outages') {
      for (let i = random.between(2, 5); i > 0; i--) {
        await away(instance, async () => { await delay(random.between(0, 150)) })
        await delay(random.between(0, 150))
      }
    } else if (kind === 'restart') {
      await world.restart(t, instance)
    } else if (kind === 'restart during an outage') {
      await away(instance, async () => {
        await world.reached(from + 2)
        await world.restart(t, instance)
        await world.reached(until)
      })
    } else if (kind === 'lost answer before an outage') {
      const [name, pattern] = random.pick(Object.entries(STATEMENTS))
      let isOver = false
      const caught = trap(world, instance, 'answer', name, pattern, async caught => { isOver ? caught.release() : caught.cut() })
      await Promise.race([caught, world.reached(until)])
      isOver = true
      await away(instance, async () => { await delay(random.pick([500, LONGER_THAN_TRIED_MS])) })
    } else if (kind === 'outage for all') {
      await Promise.all(world.instances.map(async instance => { await away(instance, async () => { await world.reached(until) }) }))
    } else {
      await away(instance, async () => { await world.reached(until) })
    }
    step = until
  }
}

async function away ({ proxy }: Instance, meanwhile: () => Promise<void>): Promise<void> {
  await proxy.leave()
  await meanwhile()
  await proxy.comeBack()
}

/** Loses answers, holds statements back, and switches push maintenance on and off, at steps of the pace-maker. */
export async function meddle (world: World, client: string, steps: number): Promise<void> {
  for (let step = 0; step < steps;) {
    const random = world.stream(client, step)
    const from = step + random.between(2, 10)
    await world.reached(from)
    if (from >= steps) return
    const until = from + random.between(1, 20)
    const kind = random.weighted({ 'lost answer': 60, 'held statement': 20, 'push maintenance': 12, clock: 8 })
    const [name, pattern] = random.pick(Object.entries(STATEMENTS))
    if (kind === 'lost answer') loseAnswer(world, random.pick(world.instances), name, pattern)
    else if (kind === 'held statement') holdStatement(world, random.pick(world.instances), name, pattern, until)
    else if (kind === 'push maintenance') await maintain(world, until)
    else stepClock(world, random.between(-300, 300) * 1000)
    step = from
  }
}

/** The next such statement is carried out, and its caller hears nothing. */
function loseAnswer (world: World, instance: Instance, name: string, pattern: RegExp): void {
  void trap(world, instance, 'answer', name, pattern, async caught => {
    if (world.isCalm) {
      caught.release()
      return
    }
    world.hurt(`lost answer (${name})`)
    caught.cut()
  })
}

/** The next such statement gets to the database late, perhaps after its caller has given it up. */
function holdStatement (world: World, instance: Instance, name: string, pattern: RegExp, until: number): void {
  void trap(world, instance, 'statement', name, pattern, async caught => {
    if (!world.isCalm) {
      world.hurt(`held statement (${name})`)
      await world.reached(until)
    }
    caught.release()
  })
}

/** Does something to the next such statement. One at a time: the proxy does not hold a statement and its answer both. */
async function trap (world: World, { index, proxy }: Instance, kind: 'answer' | 'statement', name: string, pattern: RegExp, spring: (caught: Caught) => Promise<void>): Promise<void> {
  const key = `${index} ${name}`
  if (world.traps.has(key)) return
  world.traps.add(key)
  await spring(await proxy.catch(kind, pattern))
  world.traps.delete(key)
}

const machineClock = Date.now

/** The wall clock of the process that runs the services jumps; the database's does not. */
function stepClock (world: World, offsetMs: number): void {
  world.hurt('clock step')
  Date.now = () => machineClock() + offsetMs
}

export function resetClock (): void {
  Date.now = machineClock
}
