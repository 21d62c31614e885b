import { keyOf } from './journal.ts'
import type { Call, Delivered, Journal, Stored } from './journal.ts'
import { checkDeliveries } from './delivery-checks.ts'

export interface Expectation {
  /** For each queue, the groups that must have consumed all of it. */
  groups: Record<string, string[]>
  /** Queues that only transactions push to. */
  targets: string[]
  /** Lease time of the queues. */
  leaseMs: number
}

const EXPECTED: Record<Call['kind'], RegExp> = {
  push: /^(201|503 RGT_\w+)$/,
  // An empty pop may be answered without a body; it never answers an error.
  pop: /^20[04]$/,
  ack: /^(200|503 RGT_\w+)$/,
  transaction: /^(200|503 RGT_\w+)$/
}
// Answers that say that nothing was changed. The others leave it open.
const SAYS_UNCHANGED = /^503 RGT_(DATABASE_AWAY|DATABASE_BUSY|DATABASE_SLOW|QUEUE_DRAINING|PUSHES_HELD|BUFFER_FULL)$/
const PUSH_RESULTS = new Set(['queued', 'duplicate', 'buffered'])
// A request that arrives while the server stops listening may find its connection closed, so one that was sent so
// shortly before may as well: on a slow machine it may not have been read.
const STOPPING_MARGIN_MS = 500
const MOST = 20

/** Whether an answer of the service says that what was asked for has not happened. */
export function saysUnchanged (answer: string): boolean {
  return SAYS_UNCHANGED.test(answer)
}

/**
 * Compares what clients were told with what is stored, once everything has been consumed. Returns what is wrong. Times are
 * judged in the service's favour: what may have been right passes.
 */
export function check (journal: Journal, stored: readonly Stored[], expected: Expectation): string[] {
  const faults = [
    ...journal.oddities,
    ...checkAnswers(journal),
    ...checkStored(stored),
    ...checkPushes(journal, stored, expected),
    ...checkTransactions(journal, stored, expected),
    ...checkDeliveries(journal, stored, expected)
  ]
  return faults.length > MOST ? [...faults.slice(0, MOST), `and ${faults.length - MOST} more`] : faults
}

/** Every request was answered, as the API says, or its connection was closed by a fault of ours. */
function checkAnswers (journal: Journal): string[] {
  const faults: string[] = []
  for (const call of journal.calls) {
    const { kind, server, answer, sentAt, endedAt } = call
    const where = `${kind} to server ${server}, sent at ${Math.round(sentAt)}`
    if (answer === '' || answer === 'silent') faults.push(`${where}: never answered`)
    else if (answer === 'closed') {
      const isOurs = journal.downtimes.some(({ server: down, how, from, until }) => down === server &&
        endedAt >= from && sentAt <= until && (how === 'killed' || sentAt >= from - STOPPING_MARGIN_MS))
      if (!isOurs) faults.push(`${where}: its connection was closed at ${Math.round(endedAt)} without a fault that would explain it`)
    } else if (!EXPECTED[kind].test(answer)) faults.push(`${where}: answered ${answer}`)
  }
  return faults
}

/** Positions run from 1 without a hole, and no id stands for two messages. `stored` is sorted by partition and position. */
function checkStored (stored: readonly Stored[]): string[] {
  const faults: string[] = []
  const last = new Map<string, number>()
  const ids = new Map<string, string>()
  for (const message of stored) {
    const place = `${message.queue}/${message.partition}`
    const before = last.get(place) ?? 0
    if (message.position !== before + 1) faults.push(`${place}: position ${message.position} follows ${before}`)
    last.set(place, message.position)
    const key = keyOf(message)
    const other = ids.get(key)
    if (other !== undefined) faults.push(`${key} is stored twice, as ${other} and ${message.id}`)
    ids.set(key, message.id)
  }
  return faults
}

/** What was answered as stored or buffered is stored, under the id that was told, in the producer's order. */
function checkPushes (journal: Journal, stored: readonly Stored[], { targets }: Expectation): string[] {
  const faults: string[] = []
  const found = new Map(stored.map(message => [keyOf(message), message]))
  const tries = new Map<string, Map<number, Call>>()
  for (const { call, attempt, items, results } of journal.pushes) {
    for (const [i, item] of items.entries()) {
      const key = keyOf(item)
      const message = found.get(key)
      tries.set(key, (tries.get(key) ?? new Map<number, Call>()).set(attempt, call))
      const result = results[i]
      if (call.answer === '201' && !PUSH_RESULTS.has(result?.status ?? '')) faults.push(`${key}: answered 201 with status ${result?.status}`)
      if (result === undefined) continue
      if (message === undefined) faults.push(`${key} is lost: it was answered ${result.status}`)
      else if (result.messageId !== null && result.messageId !== message.id) faults.push(`${key} was answered ${result.status} as ${result.messageId} and is stored as ${message.id}`)
    }
  }
  const last = new Map<string, number>()
  for (const message of stored) {
    if (targets.includes(message.queue)) continue
    const key = keyOf(message)
    const from = tries.get(key)?.get(message.data.attempt)
    if (from === undefined) faults.push(`${key} is stored and was never pushed`)
    else if (saysUnchanged(from.answer)) faults.push(`${key} is stored by a push that was answered ${from.answer}, which says that it is not`)
    const place = `${message.queue}/${message.partition}`
    const before = last.get(place) ?? -1
    if (message.data.sequence <= before) faults.push(`${place}: ${message.data.sequence} is stored behind ${before}`)
    last.set(place, message.data.sequence)
  }
  return faults
}

/** Each source that was acknowledged has exactly one target, from a try that was not said to have failed. */
function checkTransactions (journal: Journal, stored: readonly Stored[], { targets }: Expectation): string[] {
  const faults: string[] = []
  const isStored = new Set(stored.map(keyOf))
  const tries = new Map<string, { call: Call, success: boolean | null, source: string }>()
  const sources = new Map<string, Delivered>()
  for (const { call, pairs, success } of journal.transactions) {
    const halves = pairs.filter(({ target }) => isStored.has(keyOf(target))).length
    if (halves !== 0 && halves !== pairs.length) faults.push(`a transaction of ${pairs.length} pushes, answered ${call.answer}, stored ${halves} of them`)
    for (const { source, target } of pairs) {
      tries.set(keyOf(target), { call, success, source: keyOf(source) })
      sources.set(keyOf(source), source)
      if (success === true && !isStored.has(keyOf(target))) faults.push(`${keyOf(target)} is lost: its transaction succeeded`)
    }
  }
  const madeFrom = new Map<string, number>()
  for (const message of stored) {
    if (!targets.includes(message.queue)) continue
    const key = keyOf(message)
    const from = tries.get(key)
    if (from === undefined) {
      faults.push(`${key} is stored and no transaction pushed it`)
      continue
    }
    if (from.success === false) faults.push(`${key} is stored by a transaction that was refused`)
    if (saysUnchanged(from.call.answer)) faults.push(`${key} is stored by a transaction that was answered ${from.call.answer}, which says that it is not`)
    madeFrom.set(from.source, (madeFrom.get(from.source) ?? 0) + 1)
  }
  // Everything has been consumed, so every source has been acknowledged, and by transactions only.
  for (const key of sources.keys()) {
    const count = madeFrom.get(key) ?? 0
    if (count !== 1) faults.push(`${key} was acknowledged in a transaction with its target, of which ${count} are stored`)
  }
  return faults
}
