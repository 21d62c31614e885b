import type { Groups } from './groups.ts'
import type { Entry, PushCall, Pushes } from './pushes.ts'
import { keyOf, nameOf } from './pushes.ts'
import { QUEUES, isDeduplicated, isPlain, planOf } from './queues.ts'
import type { DeadLetter, Remains, Stored } from './stored.ts'

/** What clients know when all is over. */
export interface Known {
  pushes: Pushes
  groups: Groups
  maintenances: readonly { from: number, until: number }[]
  sealedTimes: readonly { queue: string, from: number, until: number }[]
  /** Answers may have got lost: what autoAck had taken is gone. */
  wereAnswersLost: boolean
}

/** Whether what clients know and what the database holds agree exactly. Returns where they do not. */
export function checkRemains (known: Known, remains: Remains): string[] {
  const places = new Map<string, Stored[]>()
  for (const message of remains.stored) {
    const place = `${message.queue}/${message.partition}`
    places.set(place, [...places.get(place) ?? [], message])
  }
  return [
    ...[...places].flatMap(([place, messages]) => [...checkPositions(place, messages), ...checkOrder(known, place, messages)]),
    ...checkMessages(known, remains.stored),
    ...checkEntries(known, remains.stored),
    ...checkGroups(known, remains),
    ...checkDeadLetters(known, remains)
  ]
}

function checkPositions (place: string, messages: readonly Stored[]): string[] {
  return messages.flatMap(({ position }, i) => position === i + 1 ? [] : [`${place}: position ${position} stands at ${i + 1}`])
}

/**
 * What was answered before something else was sent stands before it: stored messages everywhere, buffered ones among what goes
 * through the same folder.
 */
function checkOrder ({ pushes, maintenances }: Known, place: string, messages: readonly Stored[]): string[] {
  const faults: string[] = []
  const seen = new Set<Entry>()
  const firsts = messages.flatMap(message => {
    const entry = message.data === null ? undefined : pushes.entryOf(message.data)
    // Without a window a drain that was interrupted may store a message again.
    if (entry === undefined || seen.has(entry)) return []
    seen.add(entry)
    return [{ message, entry }]
  })
  const earliest = new Map<string, Entry>()
  for (const { message, entry } of firsts.reverse()) {
    for (const before of [earliest.get('queued'), earliest.get(`buffered ${entry.call.folder}`)]) {
      if (before === undefined || before.call.endedAt >= entry.call.sentAt) continue
      // In push maintenance transactions go on. Other instances than the one that is told of its end hear of it some time later.
      const mayOvertake = before.fate === 'buffered' && entry.call.kind === 'transaction' &&
        maintenances.some(({ from, until }) => from < entry.call.endedAt && (entry.call.folder !== 0 || until > entry.call.sentAt))
      if (!mayOvertake) faults.push(`${place}: ${nameOf(entry)} stands at ${message.position}, before ${nameOf(before)}, which had been ${before.fate} before it was sent`)
    }
    const group = entry.fate === 'buffered' ? `buffered ${entry.call.folder}` : entry.fate
    const other = earliest.get(group)
    if (other === undefined || entry.call.endedAt < other.call.endedAt) earliest.set(group, entry)
    if (other !== undefined && other.call === entry.call && other.index < entry.index) faults.push(`${place}: item ${entry.index} of a call stands before its item ${other.index}`)
  }
  return faults
}

/** Every message was pushed, by a call that was not told otherwise, and is sealed where it had to be. */
function checkMessages ({ pushes, sealedTimes }: Known, stored: readonly Stored[]): string[] {
  const faults: string[] = []
  for (const { queue, partition, id, transactionId, data, isSealed, createdAtMs } of stored) {
    const entry = data === null ? undefined : pushes.entryOf(data)
    if (entry === undefined) {
      faults.push(`${queue}/${partition}: ${id} is stored and was never pushed`)
      continue
    }
    if (entry.queue !== queue || entry.partition !== partition || (entry.transactionId ?? transactionId) !== transactionId) faults.push(`${nameOf(entry)} is stored as ${transactionId} in ${queue}/${partition}`)
    if (entry.fate === 'refused' || entry.fate === 'duplicate') faults.push(`${nameOf(entry)} is stored as ${id} and was answered ${entry.fate}`)
    const mustBeSealed = sealedTimes.some(time => time.queue === queue && time.from < createdAtMs && createdAtMs < time.until)
    if (mustBeSealed && !isSealed) faults.push(`${nameOf(entry)} is stored in clear text`)
  }
  return faults
}

/** What was answered as stored or buffered is stored: once, and under the id that was told. */
function checkEntries ({ pushes }: Known, stored: readonly Stored[]): string[] {
  const faults: string[] = []
  const byItem = new Map<Entry, Stored[]>()
  const byKey = new Map<string, Stored[]>()
  for (const message of stored) {
    const entry = message.data === null ? undefined : pushes.entryOf(message.data)
    if (entry === undefined) continue
    byItem.set(entry, [...byItem.get(entry) ?? [], message])
    byKey.set(keyOf(message), [...byKey.get(keyOf(message)) ?? [], message])
  }
  for (const call of pushes.calls) {
    for (const entry of call.entries) {
      const plan = planOf(entry.queue)
      const own = byItem.get(entry) ?? []
      const all = entry.transactionId === null || isPlain(plan) ? own : byKey.get(keyOf(entry)) ?? []
      const isPromised = entry.fate === 'queued' || entry.fate === 'duplicate' || entry.fate === 'buffered'
      if (isPromised && all.length === 0) faults.push(`${nameOf(entry)} is lost: it was answered ${entry.fate}`)
      if (entry.id !== null && !all.some(({ id }) => id === entry.id)) faults.push(`${nameOf(entry)} was answered ${entry.fate} as ${entry.id} and is stored as ${all.map(({ id }) => id).join()}`)
      // Without a window, what is buffered may be stored again when a drain is interrupted.
      const most = isDeduplicated(plan) || entry.fate !== 'buffered' ? 1 : Infinity
      if (own.length > most) faults.push(`${nameOf(entry)}, answered ${entry.fate}, is stored as ${own.map(({ id }) => id).join()}`)
      if (isDeduplicated(plan) && all.length > 1) faults.push(`${nameOf(entry)} is stored ${all.length} times, as ${all.map(({ id }) => id).join()}`)
    }
    if (call.kind === 'transaction') {
      const halves = call.entries.filter(entry => (byItem.get(entry) ?? []).length > 0 || entry.fate === 'duplicate').length
      const could = call.entries.filter(entry => !isElsewhere(entry, byKey, byItem)).length
      if (halves !== 0 && halves < could) faults.push(`transaction ${call.number} is stored in part: ${halves} of ${could}`)
    }
  }
  return faults
}

/** Another call has stored the message. */
function isElsewhere (entry: Entry, byKey: ReadonlyMap<string, Stored[]>, byItem: ReadonlyMap<Entry, Stored[]>): boolean {
  return entry.transactionId !== null && byKey.has(keyOf(entry)) && !byItem.has(entry)
}

/** Transactions of which nobody was told what became of them have happened if what they pushed is there. */
export function resolveTransactions ({ pushes, groups }: Known, { stored }: Remains): void {
  const happened = new Set(stored.map(({ data }) => data === null ? undefined : pushes.entryOf(data)?.call))
  for (const { words } of groups.books.values()) {
    for (const word of [...words.values()].flat()) {
      if (word.outcome === 'maybe' && isTransaction(word.call)) word.outcome = happened.has(word.call) ? 'done' : 'no'
    }
  }
}

function isTransaction (call: object): call is PushCall {
  return 'kind' in call && call.kind === 'transaction'
}

/** Every group has everything behind it, for a reason that is known, and rests. */
function checkGroups ({ groups, wereAnswersLost }: Known, { standings }: Remains): string[] {
  const faults: string[] = []
  for (const { queue, partition, group, committed, head, unrest } of standings) {
    const book = groups.bookOf({ queue, partition }, group)
    if (committed !== head || unrest !== '') faults.push(`${book.name}: stands at ${committed} of ${head} ${unrest}`)
    const missing = book.missing(head)
    if (missing.length > 0 && !(book.isAuto && wereAnswersLost)) faults.push(`${book.name}: ${missing.join()} were done by nobody`)
    for (const [position, words] of book.words) {
      if (position > head) faults.push(`${book.name}: ${position} was delivered and is not stored`)
      const transactions = words.filter(word => isTransaction(word.call) && word.outcome === 'done')
      if (transactions.length > 1) faults.push(`${book.name}: ${position} was acknowledged by ${transactions.length} transactions`)
    }
  }
  return faults
}

/** What was said to be a dead letter is one, with its payload; nothing else is. */
function checkDeadLetters ({ pushes, groups }: Known, { stored, deadLetters }: Remains): string[] {
  const faults: string[] = []
  const byPlace = new Map(stored.map(message => [`${message.queue}/${message.partition}/${message.position}`, message]))
  const letters = new Map<string, DeadLetter>()
  for (const letter of deadLetters) {
    const { queue, partition, group, position, transactionId, error, retryCount, data } = letter
    const book = groups.bookOf(letter, group)
    const key = `${book.name} ${position}`
    if (letters.has(key)) faults.push(`${key} is a dead letter twice`)
    letters.set(key, letter)
    const message = byPlace.get(`${queue}/${partition}/${position}`)
    if (message === undefined || message.transactionId !== transactionId || JSON.stringify(message.data) !== JSON.stringify(data) || (data !== null && pushes.entryOf(data) === undefined)) {
      faults.push(`${key} is a dead letter of another message: ${JSON.stringify(letter)}`)
    }
    const words = (book.words.get(position) ?? []).filter(({ outcome, status }) => outcome === 'dead' || (outcome === 'maybe' && (status === 'dlq' || status === 'failed')))
    if (!words.some(word => word.error === error)) faults.push(`${key} is a dead letter and nobody wanted it so`)
    if (retryCount > book.failures(position).most) faults.push(`${key} is a dead letter with retryCount ${retryCount}`)
  }
  for (const queue of QUEUES) {
    for (const book of [...groups.books.values()].filter(book => book.queue === queue.name)) {
      for (const [position, words] of book.words) {
        if (words.some(({ outcome }) => outcome === 'dead') && !letters.has(`${book.name} ${position}`)) faults.push(`${book.name} ${position} is no dead letter, and was answered so`)
      }
    }
  }
  return faults
}
