import type { Expectation } from './checker.ts'
import { keyOf } from './journal.ts'
import type { Delivered, Delivery, Journal, Stored } from './journal.ts'

/** A partition's part of a delivery, to a group. */
interface Part { delivery: Delivery, leaseId: string, messages: Delivered[] }

/** What every group got: all of it, in order, under one lease at a time, and nothing again that it had acknowledged. */
export function checkDeliveries (journal: Journal, stored: readonly Stored[], { groups, leaseMs }: Expectation): string[] {
  const faults: string[] = []
  const byKey = new Map(stored.map(message => [keyOf(message), message]))
  const done = new Map<string, number>()
  for (const { key, at } of completions(journal, byKey)) done.set(key, Math.min(at, done.get(key) ?? Infinity))

  for (const { group, messages } of journal.deliveries) {
    for (const message of messages) {
      const original = byKey.get(keyOf(message))
      if (original === undefined) faults.push(`${keyOf(message)} was delivered to ${group} and is not stored`)
      else if (original.id !== message.id) faults.push(`${keyOf(message)} was delivered to ${group} as ${message.id} and is stored as ${original.id}`)
      else if (JSON.stringify(original.data) !== JSON.stringify(message.data)) faults.push(`${keyOf(message)} was delivered to ${group} with another payload`)
    }
  }
  for (const message of stored) {
    for (const group of groups[message.queue] ?? []) {
      if (!done.has(`${group} ${keyOf(message)}`)) faults.push(`${keyOf(message)} was never acknowledged by ${group}`)
    }
  }
  const releases = firstWords(journal)
  for (const [place, parts] of partsByPlace(journal)) {
    faults.push(...checkOrder(place, parts, byKey), ...checkLeases(place, parts, releases, leaseMs), ...checkAgain(place, parts, done, leaseMs))
  }
  return faults
}

/** When a group was told that it has completed a message; `Infinity`: it was not told, but has. */
function completions (journal: Journal, byKey: ReadonlyMap<string, Stored>): { key: string, at: number }[] {
  const found: { key: string, at: number }[] = []
  for (const { call, group, words, results } of journal.acks) {
    for (const [i, { message, status }] of words.entries()) {
      if (status === 'completed' && results[i]?.success === true) found.push({ key: `${group} ${keyOf(message)}`, at: call.endedAt })
    }
  }
  for (const { call, group, pairs, success } of journal.transactions) {
    for (const { source, target } of pairs) {
      if (success === true || byKey.has(keyOf(target))) found.push({ key: `${group} ${keyOf(source)}`, at: success === true ? call.endedAt : Infinity })
    }
  }
  return found
}

/** When a holder of a lease first said something about it: from then on it may be over. */
function firstWords (journal: Journal): Map<string, number> {
  const first = new Map<string, number>()
  const note = (group: string, message: Delivered, at: number): void => {
    const key = `${group} ${message.leaseId} ${message.partitionId}`
    first.set(key, Math.min(at, first.get(key) ?? Infinity))
  }
  for (const { call, group, words } of journal.acks) for (const { message } of words) note(group, message, call.sentAt)
  for (const { call, group, pairs } of journal.transactions) for (const { source } of pairs) note(group, source, call.sentAt)
  return first
}

/** The deliveries of each partition to each group, in the order in which consumers got them. */
function partsByPlace (journal: Journal): Map<string, Part[]> {
  const places = new Map<string, Part[]>()
  for (const delivery of journal.deliveries) {
    const parts = new Map<string, Part>()
    for (const message of delivery.messages) {
      const place = `${delivery.group} ${message.queue}/${message.partition}`
      const part = parts.get(place) ?? { delivery, leaseId: message.leaseId, messages: [] }
      part.messages.push(message)
      parts.set(place, part)
    }
    for (const [place, part] of parts) {
      const known = places.get(place)
      if (known === undefined) places.set(place, [part])
      else known.push(part)
    }
  }
  for (const parts of places.values()) parts.sort((a, b) => a.delivery.call.endedAt - b.delivery.call.endedAt)
  return places
}

/** No message comes to a group before those that stand before it. */
function checkOrder (place: string, parts: readonly Part[], byKey: ReadonlyMap<string, Stored>): string[] {
  const faults: string[] = []
  let reached = 0
  for (const { messages } of parts) {
    let before = 0
    for (const message of messages) {
      const position = byKey.get(keyOf(message))?.position
      if (position === undefined) continue
      if (position <= before) faults.push(`${place}: position ${position} was delivered behind ${before}`)
      if (position > reached + 1) faults.push(`${place}: position ${position} was delivered when ${reached} was the last`)
      before = position
      reached = Math.max(reached, position)
    }
  }
  return faults
}

/**
 * A lease lives at least until its time has passed since the pop was *sent*, or until its holder has said something. Who
 * *gets* messages of the partition before that was given them under a second lease.
 */
function checkLeases (place: string, parts: readonly Part[], releases: ReadonlyMap<string, number>, leaseMs: number): string[] {
  const faults: string[] = []
  for (const [i, part] of parts.entries()) {
    const { call, group } = part.delivery
    const spoken = releases.get(`${group} ${part.leaseId} ${part.messages[0]?.partitionId ?? ''}`) ?? Infinity
    const livesUntil = Math.min(call.sentAt + leaseMs, spoken)
    for (const next of parts.slice(i + 1)) {
      const { endedAt } = next.delivery.call
      if (endedAt >= livesUntil) break
      faults.push(`${place}: leased to two consumers, under ${part.leaseId} and ${Math.round(endedAt - call.endedAt)} ms later ${next.leaseId}`)
    }
  }
  return faults
}

/**
 * A pop that took less than a lease cannot have been given what somebody else could then acknowledge before it ended.
 */
function checkAgain (place: string, parts: readonly Part[], done: ReadonlyMap<string, number>, leaseMs: number): string[] {
  const faults: string[] = []
  for (const { delivery: { call, group }, messages } of parts) {
    for (const message of messages) {
      const at = done.get(`${group} ${keyOf(message)}`) ?? Infinity
      const isLate = at < call.sentAt || (at < call.endedAt && call.endedAt - call.sentAt < leaseMs)
      if (isLate) faults.push(`${place}: ${message.transactionId} was delivered ${Math.round(call.endedAt - at)} ms after it had been acknowledged`)
    }
  }
  return faults
}
