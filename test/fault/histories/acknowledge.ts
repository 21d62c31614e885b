import { setTimeout as delay } from 'node:timers/promises'
import { positionOf } from './groups.ts'
import type { GroupBook, Message, Outcome, Part, Status, Word } from './groups.ts'
import { NOTHING_CHANGED, UNKNOWN, newItems, wireItems } from './producer.ts'
import { QUEUES, isAmbiguous, planOf } from './queues.ts'
import type { Random } from './random.ts'
import type { Instance, Reply, World } from './world.ts'

/** Messages of one partition that a consumer was given, or some of them. */
export interface Held { book: GroupBook, part: Part, messages: Message[] }

interface Said { held: Held, message: Message, word: Word }

interface AckResult { transactionId: unknown, success: unknown, error: unknown, dlq: unknown }

export interface AcknowledgeOptions {
  /** Null: one of all, drawn for each message. */
  status: Status | null
  claimsLease?: boolean
  /** Also of a message that was never there; it must not matter to the others. */
  isAlsoStrange?: boolean
}

const NO_LEASE = 'Invalid or expired lease'
const ALREADY = 'Message already acknowledged'
const TARGETS = QUEUES.filter(queue => queue.isTarget === true)

/** Say something about messages, and again where it is not known to have arrived. */
export async function acknowledge (world: World, random: Random, instance: Instance, held: readonly Held[], options: AcknowledgeOptions): Promise<void> {
  for (let tries = 0; tries < 4; tries++) {
    const reply = await acknowledgeOnce(world, random, instance, held, options)
    if (reply?.status === 200 || random.chance(0.3)) return
    world.count('ack again')
    await delay(random.between(5, 100))
  }
}

async function acknowledgeOnce (world: World, random: Random, instance: Instance, held: readonly Held[],
  { status, claimsLease = true, isAlsoStrange = false }: AcknowledgeOptions): Promise<Reply | null> {
  await instance.ready
  const call = {}
  const said = sayAll(held, call, () => status ?? random.pick(['completed', 'failed', 'retry', 'dlq'] as const), claimsLease)
  const acknowledgments: object[] = said.map(({ message, word }) => ({
    transactionId: message.transactionId,
    partitionId: message.partitionId,
    status: word.status,
    error: word.error,
    ...(claimsLease ? { leaseId: message.leaseId } : {})
  }))
  const [only] = said
  if (isAlsoStrange && only !== undefined) acknowledgments.push({ transactionId: 'nobody-s', partitionId: only.message.partitionId, leaseId: only.message.leaseId })
  world.count('ack')
  const group = held[0]?.book.group ?? ''
  const reply = acknowledgments.length === 1
    ? await world.call(instance, 'POST', '/api/v1/ack', { ...acknowledgments[0], consumerGroup: group })
    : await world.call(instance, 'POST', '/api/v1/ack/batch', { acknowledgments, consumerGroup: group })
  const endedAt = performance.now()
  const results: AckResult[] = reply?.status === 200 && Array.isArray(reply.json) ? reply.json : []
  if (reply?.status === 200 && results.length !== acknowledgments.length) world.faults.push(`${acknowledgments.length} acknowledgements got ${results.length} results`)
  if (reply?.status !== 200) checkRefusal(world, 'ack', reply)
  // All of them first: one is judged by what is known of its neighbours.
  for (const [i, { word }] of said.entries()) {
    word.endedAt = endedAt
    word.outcome = reply?.status === 200 ? outcomeOf(results[i]) : refusedOutcome(reply)
  }
  if (reply?.status === 200) {
    for (const [i, one] of said.entries()) judge(world, one, results[i])
    const strange = results[said.length]
    if (isAlsoStrange && (strange?.success !== false || strange.error !== 'Message not found')) world.faults.push(`the ack of a message that is not there was answered ${JSON.stringify(strange)}`)
  }
  note(world, 'ack', instance, reply, said)
  return reply
}

function sayAll (held: readonly Held[], call: object, statusOf: () => Status, claimsLease: boolean): Said[] {
  return held.flatMap(one => one.messages.map(message => {
    const position = positionOf(message.id)
    const status = statusOf()
    const word = one.book.say({ status, position, call, error: `${status} ${position}`, leaseId: claimsLease ? message.leaseId : null })
    return { held: one, message, word }
  }))
}

function outcomeOf (result: AckResult | undefined): Outcome {
  if (result === undefined) return 'maybe'
  if (result.success !== true) return 'no'
  return result.dlq === true ? 'dead' : 'done'
}

function refusedOutcome (reply: Reply | null): Outcome {
  return reply?.status === 503 && NOTHING_CHANGED.has(reply.code) ? 'no' : 'maybe'
}

function checkRefusal (world: World, kind: string, reply: Reply | null): void {
  const isExpected = reply === null || (reply.status === 503 && (NOTHING_CHANGED.has(reply.code) || UNKNOWN.has(reply.code)))
  if (!isExpected) world.faults.push(`${kind} was answered ${reply.status} ${reply.code}`)
}

/** Whether an acknowledgement was answered as it had to be. */
function judge (world: World, { held: { book, part }, message, word }: Said, result: AckResult | undefined): void {
  const fault = (text: string): void => { world.faults.push(`${book.name}: ${word.status} of ${word.position} under ${word.leaseId}: ${text}, answered ${JSON.stringify(result)}`) }
  if (result === undefined || result.transactionId !== message.transactionId || typeof result.success !== 'boolean' || typeof result.dlq !== 'boolean') {
    fault('malformed')
    return
  }
  const { success, error, dlq } = result
  const { position, sentAt, endedAt, status, call } = word
  const wasDone = book.isDoneBefore(position, sentAt)
  if (success) {
    if (status === 'failed' && !dlq) word.outcome = 'again'
    if (status === 'retry') word.outcome = 'again'
    if (error !== null || (dlq && status !== 'dlq' && status !== 'failed') || (!dlq && status === 'dlq')) fault('contradicts itself')
    if (status === 'failed') checkLimit(world, book, word, dlq)
    if (status !== 'completed' && wasDone) fault('it had been acknowledged')
    if (word.leaseId !== null && !book.mayBeDone(position, word) && book.wasTakenOver(part, sentAt)) fault('its lease had been taken over')
    return
  }
  if (error !== NO_LEASE && error !== ALREADY) fault('for no reason')
  if (error === NO_LEASE && isAmbiguous(planOf(book.queue))) {
    // Another instance than the one that delivered it, or a repetition, may have taken its id for a message further on.
    word.outcome = 'maybe'
    return
  }
  if (error === ALREADY && (status === 'completed' || !book.mayBeDone(position, word))) fault('nobody has')
  if (error === NO_LEASE && status === 'completed' && wasDone) fault('it had been acknowledged, and to do so again succeeds')
  if (error === NO_LEASE && word.leaseId !== null && book.livedThrough(part, endedAt, call)) fault('its lease was alive')
}

/** A message is dead-lettered as soon as it has failed more often than its queue allows. */
function checkLimit (world: World, book: GroupBook, word: Word, dlq: boolean): void {
  const limits = [...world.retryLimits.get(book.queue) ?? []]
  const { least, most } = book.failures(word.position, Infinity, word.call)
  if (dlq && most + 1 <= Math.min(...limits)) world.faults.push(`${book.name}: ${word.position} was dead-lettered after at most ${most + 1} failures`)
  if (!dlq && least + 1 > Math.max(...limits)) world.faults.push(`${book.name}: ${word.position} was not dead-lettered after ${least + 1} failures`)
}

/** Ask for more time. */
export async function extend (world: World, instance: Instance, { book, part, messages }: Held, seconds: number): Promise<void> {
  await instance.ready
  world.count('extend')
  const sentAt = performance.now()
  const reply = await world.call(instance, 'POST', `/api/v1/lease/${part.leaseId}/extend`, { seconds })
  const endedAt = performance.now()
  const lived = book.livedThrough(part, endedAt, {})
  if (reply?.status === 200) {
    // Of a lease over several partitions it was perhaps another's.
    if (lived) part.until = Math.max(part.until, sentAt + seconds * 1000)
  } else if (reply?.status === 404 || reply?.status === 409) {
    if (lived) world.faults.push(`${book.name}: lease ${part.leaseId} of ${messages.length} messages was alive, and to extend it was answered ${reply.status}`)
  } else checkRefusal(world, 'extend', reply)
}

/** Acknowledge and push as one; again while it was not said what became of it. */
export async function transact (world: World, random: Random, instance: Instance, held: readonly Held[]): Promise<void> {
  const items = newItems(random, `t${random.between(0, 1e9)}`, TARGETS, random.chance(0.7))
  for (let tries = 0; tries < 3; tries++) {
    const reply = await transactOnce(world, instance, held, items)
    if (reply?.status === 200 || random.chance(0.3)) return
    world.count('transaction again')
    await delay(random.between(5, 100))
  }
}

async function transactOnce (world: World, instance: Instance, held: readonly Held[], items: ReturnType<typeof newItems>): Promise<Reply | null> {
  await instance.ready
  const { pushes } = world
  const call = pushes.begin('transaction', instance.index, items)
  const said = sayAll(held, call, () => 'completed', true)
  world.count('transaction')
  const reply = await world.call(instance, 'POST', '/api/v1/transaction', {
    operations: [
      ...said.map(({ held: { book }, message: { transactionId, partitionId, leaseId } }) =>
        ({ type: 'ack', transactionId, partitionId, leaseId, consumerGroup: book.group === '' ? null : book.group, status: 'completed' })),
      { type: 'push', items: wireItems(call) }
    ]
  })
  const results: any[] | null = reply?.status === 200 && reply.json?.success === true ? reply.json.results : null
  const outcome: Outcome = results !== null ? 'done' : reply?.status === 200 ? 'no' : refusedOutcome(reply)
  if (reply?.status !== 200) checkRefusal(world, 'transaction', reply)
  if (results === null) pushes.end(call, outcome === 'no' ? 'refused' : 'unknown')
  else {
    if (results.length !== said.length + items.length) world.faults.push(`transaction ${call.number} got ${results.length} results`)
    pushes.answered(call, results.slice(said.length))
  }
  for (const { word } of said) {
    word.endedAt = call.endedAt
    word.outcome = outcome
  }
  for (const { held: { book, part }, word } of said) {
    const { position, sentAt } = word
    if (outcome === 'done' && book.isDoneBefore(position, sentAt)) world.faults.push(`${book.name}: transaction ${call.number} succeeded, and ${position} had been acknowledged`)
    if (outcome === 'done' && book.wasTakenOver(part, sentAt)) world.faults.push(`${book.name}: transaction ${call.number} succeeded under ${part.leaseId}, which had been taken over`)
  }
  const isAlive = said.every(({ held: { book, part }, word }) => !book.mayBeDone(word.position, word) && book.livedThrough(part, call.endedAt, call))
  if (reply?.status === 200 && outcome === 'no' && isAlive) world.faults.push(`transaction ${call.number} was refused under live leases: ${reply.json?.error}`)
  note(world, `transaction ${call.number}`, instance, reply, said)
  return reply
}

function note (world: World, kind: string, instance: Instance, reply: Reply | null, said: readonly Said[]): void {
  world.note(`${kind} to ${instance.index}: ${reply?.status} ${reply?.code} ${said.map(({ held: { book, part }, word }) =>
    `${book.name} ${word.position} under ${part.leaseId} from ${word.sentAt.toFixed(0)}: ${word.status} ${word.outcome}`).join('; ')}`)
}
