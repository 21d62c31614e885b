import { setTimeout as delay } from 'node:timers/promises'
import type { Item, PushCall } from './pushes.ts'
import { QUEUES } from './queues.ts'
import type { QueuePlan } from './queues.ts'
import type { Random } from './random.ts'
import type { Instance, World } from './world.ts'

const SOURCES = QUEUES.filter(queue => queue.isTarget !== true)
/** Answers that say that nothing was stored. */
export const NOTHING_CHANGED = new Set(['RGT_DATABASE_AWAY', 'RGT_DATABASE_BUSY', 'RGT_DATABASE_SLOW', 'RGT_OVERLOADED', 'RGT_QUEUE_DRAINING',
  'RGT_PUSHES_HELD', 'RGT_BUFFER_FULL', 'RGT_BUFFER_UNAVAILABLE'])
export const UNKNOWN = new Set(['RGT_OUTCOME_UNKNOWN', 'RGT_SHUTTING_DOWN'])
const MOST_TRIES = 4

/** Pushes step by step; `isPaceMaker`: what the others do and suffer is placed by its steps. */
export async function produce (world: World, client: string, steps: number, isPaceMaker: boolean): Promise<void> {
  const sent: Item[] = []
  for (let step = 0; step < steps; step++) {
    if (isPaceMaker) world.advance(step)
    const random = world.stream(client, step)
    const instance = random.pick(world.instances)
    const kind = random.weighted({ push: 70, repeat: 14, twice: 10, doubled: 3 })
    const items = newItems(random, `${client}-${step}`)
    if (kind === 'repeat') {
      const known = items.map(item => sent.length === 0 ? item : random.pick(sent))
      await pushUntilKnown(world, random, instance, random.chance(0.5) ? known : [...items, ...known])
    } else if (kind === 'twice') {
      const other = random.pick(world.instances)
      world.count('push twice at once')
      await Promise.all([push(world, instance, items), push(world, other, items)])
    } else {
      await pushUntilKnown(world, random, instance, kind === 'doubled' ? [...items, ...items] : items)
    }
    world.count(kind)
    sent.push(...items.filter(item => item.transactionId !== null))
    await delay(random.between(0, 15))
  }
  if (isPaceMaker) world.advance(Infinity)
}

/** Some items for some places; most have ids of their own. */
export function newItems (random: Random, name: string, queues: readonly QueuePlan[] = SOURCES, hasIds = random.chance(0.8)): Item[] {
  const count = random.weighted({ 1: 4, 3: 4, 6: 2, 12: 1 })
  return Array.from({ length: Number(count) }, (_, i) => {
    const queue = random.pick(queues)
    return { queue: queue.name, partition: random.pick(queue.partitions), transactionId: hasIds ? `${name}-${i}` : null }
  })
}

/** As the existing clients do: again while it is not known to be stored, most of the time. */
async function pushUntilKnown (world: World, random: Random, instance: Instance, items: Item[]): Promise<void> {
  for (let tries = 1; tries <= MOST_TRIES; tries++) {
    const call = await push(world, instance, items)
    const isOver = call.entries.every(({ fate }) => fate !== 'unknown' && fate !== 'refused')
    if (isOver || !random.chance(0.8)) return
    world.count('push again')
    await delay(random.between(5, 100))
  }
}

async function push (world: World, instance: Instance, items: Item[]): Promise<PushCall> {
  await instance.ready
  const { pushes } = world
  const call = pushes.begin('push', instance.index, items)
  const reply = await world.call(instance, 'POST', '/api/v1/push', { items: wireItems(call) })
  if (reply?.status === 201 && Array.isArray(reply.json)) pushes.answered(call, reply.json)
  else if (reply?.status === 503 && NOTHING_CHANGED.has(reply.code)) pushes.end(call, 'refused')
  else {
    pushes.end(call, 'unknown')
    if (reply !== null && (reply.status !== 503 || !UNKNOWN.has(reply.code))) world.faults.push(`push ${call.number} was answered ${reply.status} ${reply.code}`)
  }
  world.note(`push ${call.number} to ${instance.index} from ${call.sentAt.toFixed(0)}: ${reply?.status} ${reply?.code} ${call.entries.map(entry => `${entry.queue}/${entry.partition}/${entry.transactionId} ${entry.fate} ${entry.id}`).join(', ')}`)
  return call
}

/** Items as they are sent: the payload says which call they came with. */
export function wireItems (call: PushCall): object[] {
  return call.entries.map(({ queue, partition, transactionId, index }) => ({
    queue,
    partition,
    ...(transactionId === null ? {} : { transactionId }),
    payload: { call: call.number, index, filler: 'x'.repeat((call.number * 37 + index * 11) % 200) }
  }))
}
