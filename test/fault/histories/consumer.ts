import { setTimeout as delay } from 'node:timers/promises'
import type { Message, Part } from './groups.ts'
import { acknowledge, extend, transact } from './acknowledge.ts'
import type { Held } from './acknowledge.ts'
import { QUEUES, isAmbiguous, planOf } from './queues.ts'
import type { QueuePlan } from './queues.ts'
import type { Random } from './random.ts'
import type { Instance, World } from './world.ts'

const REMEMBERED = 20

export interface PopOptions {
  queue: QueuePlan
  group: string
  partition?: string
  batch: number
  partitions: number
  waitMs: number
  autoAck?: boolean
  signal?: AbortSignal
}

/** Pops, and says something about what it got, or nothing. */
export async function consume (world: World, client: string, steps: number): Promise<void> {
  const old: Held[][] = []
  for (let step = 0; step < steps; step++) {
    const random = world.stream(client, step)
    const instance = random.pick(world.instances)
    if (old.length > 0 && random.chance(0.06)) {
      // Its lease may have been taken over, or everything said before.
      world.count('ack of long ago')
      await acknowledge(world, random, instance, random.pick(old), { status: 'completed' })
      continue
    }
    const held = await pop(world, instance, optionsFor(random))
    if (held.length > 0) {
      await treat(world, random, random.pick(world.instances), held)
      if (!held.some(({ book }) => isAmbiguous(planOf(book.queue)))) old.push(held)
      if (old.length > REMEMBERED) old.shift()
    }
    await delay(random.between(0, 15))
  }
}

function optionsFor (random: Random): PopOptions {
  const queue = random.pick(QUEUES)
  const group = random.pick(queue.groups)
  const autoAck = group === queue.autoGroup && random.chance(0.7)
  const options: PopOptions = {
    queue,
    group,
    batch: random.pick([1, 3, 10, 50]),
    partitions: random.pick([1, 1, 2, 3]),
    waitMs: random.chance(0.6) ? random.between(50, 600) : 0,
    autoAck
  }
  if (random.chance(0.15)) options.partition = random.pick(queue.partitions)
  if (random.chance(0.05)) options.signal = AbortSignal.timeout(random.between(5, 300))
  return options
}

/** One pop; what it got, a part for each partition, already checked against what is known. */
export async function pop (world: World, instance: Instance, { queue, group, partition, batch, partitions, waitMs, autoAck = false, signal }: PopOptions): Promise<Held[]> {
  await instance.ready
  world.count(signal === undefined ? autoAck ? 'pop with autoAck' : waitMs > 0 ? 'pop waiting' : 'pop' : 'pop left')
  const query = new URLSearchParams({ batch: String(batch), partitions: String(partitions) })
  if (group !== '') query.set('consumerGroup', group)
  if (waitMs > 0) query.set('wait', 'true')
  if (waitMs > 0) query.set('timeout', String(waitMs))
  if (autoAck) query.set('autoAck', 'true')
  const path = `/api/v1/pop/queue/${queue.name}${partition === undefined ? '' : `/partition/${partition}`}?${query.toString()}`
  const sentAt = performance.now()
  const reply = await world.call(instance, 'GET', path, undefined, signal)
  const endedAt = performance.now()
  if (reply === null) return []
  const messages: Message[] = reply.json?.messages ?? []
  if (reply.status !== 200 || reply.json?.success !== true) world.faults.push(`a pop of ${queue.name} was answered ${reply.status} ${reply.code}`)
  if (messages.length > batch) world.faults.push(`a pop of ${batch} got ${messages.length} messages`)
  for (const message of messages) {
    world.pushes.seen(message)
    const isRight = message.queue === queue.name && (partition ?? message.partition) === message.partition &&
      message.consumerGroup === (group === '' ? '__QUEUE_MODE__' : group) && (message.leaseId === '') === autoAck
    if (!isRight) world.faults.push(`a pop of ${path} got ${JSON.stringify(message)}`)
  }
  const held = [...partsOf(messages)].map(([name, own]) => {
    const book = world.groups.bookOf({ queue: queue.name, partition: name }, group)
    const part = book.delivered(own, sentAt, endedAt, !instance.isEnding)
    world.note(`pop by ${book.name} at ${instance.index} from ${sentAt.toFixed(0)}: ${part.leaseId} ${part.positions.join()}`)
    return { book, part, messages: own }
  })
  if (held.length > partitions) world.faults.push(`a pop of ${partitions} partitions got ${held.length}`)
  return autoAck ? [] : held
}

function partsOf (messages: readonly Message[]): Map<string, Message[]> {
  const parts = new Map<string, Message[]>()
  for (const message of messages) {
    const own = parts.get(message.partition)
    if (own === undefined) parts.set(message.partition, [message])
    else own.push(message)
  }
  return parts
}

/** What a consumer does with what it got. */
async function treat (world: World, random: Random, instance: Instance, held: Held[]): Promise<void> {
  const [first] = held
  if (first === undefined) return
  // Of messages that share an id only all can be named, each in its turn.
  const kind = isAmbiguous(planOf(first.book.queue)) ? random.weighted({ all: 80, late: 10, dies: 10 }) : random.weighted({ all: 40, some: 14, scattered: 8, failed: 8, mixed: 8, twice: 6, late: 4, dies: 5, extends: 6, transaction: 14, nameless: 3, overtaken: planOf(first.book.queue).leaseSeconds === 1 ? 20 : 0 })
  world.count(`consumer: ${kind}`)
  if (kind === 'dies') return
  if (kind === 'late') await delay(leaseMs(first) * random.pick([0.5, 1.2]))
  if (kind === 'extends') {
    await extend(world, instance, first, random.between(1, 4))
    await delay(random.between(0, 1200))
  }
  if (kind === 'overtaken') await overtake(world, random, first)
  if (kind === 'transaction') {
    await transact(world, random, instance, held)
  } else if (kind === 'scattered') {
    for (const part of held.flatMap(alone)) await acknowledge(world, random, random.pick(world.instances), [part], { status: 'completed' })
  } else if (kind === 'some') {
    await acknowledge(world, random, instance, shuffledPart(random, held), { status: 'completed' })
    if (random.chance(0.5)) await acknowledge(world, random, instance, shuffledPart(random, held), { status: 'completed' })
  } else if (kind === 'failed' || kind === 'mixed') {
    await acknowledge(world, random, instance, kind === 'failed' ? held : shuffledPart(random, held), { status: kind === 'failed' ? 'failed' : null })
  } else if (kind === 'nameless') {
    await acknowledge(world, random, instance, held, { status: 'completed', claimsLease: false })
  } else {
    await acknowledge(world, random, instance, held, { status: 'completed', isAlsoStrange: random.chance(0.1) })
    if (kind === 'twice') await acknowledge(world, random, random.pick(world.instances), held, { status: 'completed' })
  }
}

/** Somebody else gets the messages before their first holder speaks up. */
async function overtake (world: World, random: Random, { book, part }: Held): Promise<void> {
  const queue = planOf(book.queue)
  await delay(Math.max(part.until - performance.now(), 0))
  const held = await pop(world, random.pick(world.instances), { queue, group: book.group, partition: book.partition, batch: 50, partitions: 1, waitMs: 300 })
  if (held.length > 0 && random.chance(0.3)) await acknowledge(world, random, random.pick(world.instances), held, { status: 'completed' })
}

function leaseMs ({ part }: { part: Part }): number {
  return Math.max(part.until - part.sentAt, 0)
}

/** Each message by itself. */
function alone ({ book, part, messages }: Held): Held[] {
  return messages.map(message => ({ book, part, messages: [message] }))
}

/** Some of what is held, in another order. */
function shuffledPart (random: Random, held: readonly Held[]): Held[] {
  const all = random.shuffled(held.flatMap(alone))
  return all.slice(0, random.between(1, all.length))
}

/** Take and acknowledge until a group has everything behind it. */
export async function finish (world: World, queue: QueuePlan, group: string, isFinished: () => Promise<boolean>): Promise<void> {
  const [instance] = world.instances
  if (instance === undefined) return
  for (let step = 0; !await isFinished(); step++) {
    const held = await pop(world, instance, { queue, group, batch: 1000, partitions: 100, waitMs: 300 })
    if (held.length > 0) await acknowledge(world, world.stream(`finish ${queue.name} ${group}`, step), instance, held, { status: 'completed' })
  }
}
