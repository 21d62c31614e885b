import { setTimeout as delay } from 'node:timers/promises'
import { QUEUES, RETRY_LIMITS } from './queues.ts'
import type { QueuePlan } from './queues.ts'
import type { Reply, World } from './world.ts'

/** Makes the queues as they are at the start. */
export async function makeQueues (world: World): Promise<void> {
  for (const queue of QUEUES) {
    const [retryLimit] = RETRY_LIMITS
    const reply = await configure(world, queue, { leaseTime: queue.leaseSeconds, retryDelay: 50, retryLimit, dedupWindowSeconds: queue.windows[0] })
    if (reply?.status !== 200) throw new Error(`queue ${queue.name} could not be made: ${reply?.status} ${reply?.code}`)
    world.retryLimits.set(queue.name, new Set([retryLimit]))
  }
}

/** Now and then configures a queue anew, at steps of the pace-maker. */
export async function operate (world: World, client: string, steps: number): Promise<void> {
  for (let step = 0; step < steps; step += world.stream(client, step).between(8, 30)) {
    await world.reached(step)
    const random = world.stream(`${client}-does`, step)
    const kind = random.weighted({ window: 4, retryLimit: 4, encryption: 5 })
    if (kind === 'window') {
      const queue = random.pick(QUEUES.filter(({ windows }) => windows.length > 1))
      await configure(world, queue, { dedupWindowSeconds: random.pick(queue.windows) })
    } else if (kind === 'retryLimit') {
      await limit(world, random.pick(QUEUES), random.pick(RETRY_LIMITS))
    } else {
      await encrypt(world, random.pick(QUEUES.filter(({ mayEncrypt }) => mayEncrypt === true)), random.chance(0.6))
    }
    world.count(`configure ${kind}`)
  }
}

async function configure (world: World, queue: QueuePlan, options: object): Promise<Reply | null> {
  const [instance] = world.instances
  if (instance === undefined) return null
  await instance.ready
  const reply = await world.call(instance, 'POST', '/api/v1/configure', { queue: queue.name, options, merge: true })
  if (reply !== null && reply.status !== 200 && reply.status !== 503) world.faults.push(`configure was answered ${reply.status} ${reply.code}`)
  world.note(`configure ${queue.name} ${JSON.stringify(options)}: ${reply?.status} ${reply?.code}`)
  return reply
}

async function limit (world: World, queue: QueuePlan, retryLimit: number): Promise<void> {
  // What is not known to have taken effect, or not to have, may hold from now on.
  const limits = world.retryLimits.get(queue.name)
  limits?.add(retryLimit)
  await configure(world, queue, { retryLimit })
}

async function encrypt (world: World, queue: QueuePlan, encryptionEnabled: boolean): Promise<void> {
  // Nobody but us switches it, so it holds from an answer to the next attempt.
  const open = world.sealedTimes.find(({ until, queue: name }) => name === queue.name && until === Infinity)
  if (open !== undefined) open.until = now()
  const reply = await configure(world, queue, { encryptionEnabled })
  if (reply?.status === 200 && encryptionEnabled) world.sealedTimes.push({ queue: queue.name, from: now(), until: Infinity })
}

/** The database's clock: it runs on this machine, and does not take part in steps of ours. */
function now (): number {
  return performance.timeOrigin + performance.now()
}

/** Push maintenance for some time, until it is surely off. */
export async function maintain (world: World, untilStep: number): Promise<void> {
  const time = { from: performance.now(), until: Infinity }
  world.maintenances.push(time)
  world.hurt('push maintenance')
  await hold(world, true)
  await world.reached(untilStep)
  while (await hold(world, false) !== 200) await delay(50)
  time.until = performance.now()
}

async function hold (world: World, enabled: boolean): Promise<number> {
  const [instance] = world.instances
  if (instance === undefined) return 200
  await instance.ready
  const reply = await world.call(instance, 'POST', '/api/v1/system/maintenance', { enabled })
  if (reply !== null && reply.status !== 200 && reply.status !== 503) world.faults.push(`push maintenance was answered ${reply.status} ${reply.code}`)
  world.note(`maintenance ${enabled}: ${reply?.status} ${reply?.code}`)
  return reply?.status ?? 0
}
