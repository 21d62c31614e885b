// What the check of the random histories is worth: a history that went well, and what is said when one thing in it is a lie.
import t from 'tap'
import { checkRemains } from './histories/final-check.ts'
import { runHistory } from './histories/history.ts'
import { Random } from './histories/random.ts'
import { messageId } from '../../services/log/ids.ts'
import type { Entry } from './histories/pushes.ts'
import type { Stored } from './histories/stored.ts'

t.setTimeout(0)
const { known, remains, faults } = await runHistory(t, 'checker', { steps: 40, hasFaults: false })
const { pushes, groups } = known

/** What was said of a stored message of a queue that deduplicates. */
const [early, late] = neighbours()

t.test('a history without a lie', async t => {
  t.strictSame(faults, [])
  t.ok(remains.stored.length > 100 && remains.deadLetters.length > 0, `${remains.stored.length} messages and ${remains.deadLetters.length} dead letters`)
})

t.test('a seed, a client and a step decide what is drawn, and nothing else does', async t => {
  const drawn = (...name: (string | number)[]): number[] => {
    const random = new Random(...name)
    return Array.from({ length: 20 }, () => random.between(0, 1e6))
  }
  t.strictSame(drawn('7', 'producer0', 3), drawn('7', 'producer0', 3))
  for (const other of [['8', 'producer0', 3], ['7', 'producer1', 3], ['7', 'producer0', 4]]) t.notSame(drawn('7', 'producer0', 3), drawn(...other))
})

const lies: Record<string, { lie: () => Undo, says: RegExp }> = {
  'a push is forgotten that was acknowledged': {
    lie: () => changed(early.entry.call, { entries: [] }),
    says: /is stored and was never pushed/
  },
  'a push is taken for refused': {
    lie: () => changed(early.entry, { fate: 'refused' }),
    says: /is stored as .* and was answered refused/
  },
  'a push is known that did not happen': {
    lie: () => {
      const call = pushes.begin('push', 0, [{ queue: 'steady', partition: 'p0', transactionId: 'never' }])
      for (const entry of call.entries) entry.fate = 'buffered'
      return () => { pushes.calls.pop() }
    },
    says: /is lost: it was answered buffered/
  },
  'two pushes are swapped in time': {
    lie: () => both(changed(early.entry.call, times(late.entry)), changed(late.entry.call, times(early.entry))),
    says: /which had been queued before it was sent/
  },
  'a push is known under the id of another': {
    lie: () => changed(early.entry, { id: messageId(1, 999_999) }),
    says: /was answered queued as .* and is stored as/
  },
  'an acknowledgement is forgotten': {
    lie: () => {
      const words = wordsOf(early.message)
      const before = words.splice(0)
      return () => { words.push(...before) }
    },
    says: new RegExp(`${early.message.position} were done by nobody`)
  },
  'a dead letter is forgotten': {
    lie: () => {
      const words = deadWords()
      return words.map(word => changed(word, { outcome: 'done' })).reduce(both)
    },
    says: /is a dead letter and nobody wanted it so/
  },
  'a message is taken for a dead letter': {
    lie: () => changed(wordsOf(early.message).find(({ outcome }) => outcome === 'done') ?? {}, { outcome: 'dead' }),
    says: /is no dead letter, and was answered so/
  },
  'a message is stored twice': {
    lie: () => inserted({ ...early.message, position: countAt(early.message) + 1, id: 'twice' }),
    says: /is stored 2 times|is stored as .*,twice/
  },
  'a message is missing': {
    lie: () => {
      const at = remains.stored.indexOf(early.message)
      remains.stored.splice(at, 1)
      return () => { remains.stored.splice(at, 0, early.message) }
    },
    says: /stands at \d+/
  },
  'a dead letter has another payload': {
    lie: () => changed(remains.deadLetters[0] ?? {}, { data: { call: 0, index: 0, filler: 'other' } }),
    says: /is a dead letter of another message/
  },
  'half of a transaction is stored': {
    lie: () => {
      const [message, entry] = ofSeveral()
      const at = remains.stored.indexOf(message)
      remains.stored.splice(at, 1)
      return both(changed(entry.call, { kind: 'transaction' }), () => { remains.stored.splice(at, 0, message) })
    },
    says: /is stored in part/
  },
  'a group has not come to the end': {
    lie: () => changed(remains.standings[0] ?? {}, { committed: 0 }),
    says: /stands at 0 of/
  }
}

for (const [what, { lie, says }] of Object.entries(lies)) {
  t.test(`it is noticed when ${what}`, async t => {
    const undo = lie()
    t.ok(checkRemains(known, remains).some(fault => says.test(fault)), String(says))
    undo()
    t.strictSame(checkRemains(known, remains), [], 'and it was only that')
  })
}

type Undo = () => void

function changed<T extends object> (target: T, change: Partial<T> | Record<string, unknown>): Undo {
  const before = { ...target }
  Object.assign(target, change)
  return () => { Object.assign(target, before) }
}

function both (one: Undo, other: Undo): Undo {
  return () => {
    one()
    other()
  }
}

function times ({ call: { sentAt, endedAt } }: Entry): { sentAt: number, endedAt: number } {
  return { sentAt, endedAt }
}

/** Two messages of a partition that were pushed one after the other, by calls that each pushed once. */
function neighbours (): [{ message: Stored, entry: Entry }, { message: Stored, entry: Entry }] {
  const queued = remains.stored.flatMap(message => {
    const entry = message.data === null ? undefined : pushes.entryOf(message.data)
    const isPlain = entry?.fate === 'queued' && entry.call.kind === 'push' && message.queue === 'steady' && pushes.byKey.get(`steady/${message.partition}/${message.transactionId}`)?.length === 1
    return isPlain ? [{ message, entry }] : []
  })
  for (const early of queued) {
    const late = queued.find(({ message, entry }) => message.partition === early.message.partition && entry.call.sentAt > early.entry.call.endedAt)
    if (late !== undefined) return [early, late]
  }
  throw new Error('no two messages were pushed one after the other')
}

/** A message that was stored along with others by one call. */
function ofSeveral (): [Stored, Entry] {
  for (const message of remains.stored) {
    const entry = message.data === null ? undefined : pushes.entryOf(message.data)
    if (entry !== undefined && entry.call.entries.every(({ fate }) => fate === 'queued') && entry.call.entries.length > 1) return [message, entry]
  }
  throw new Error('no call has stored several messages')
}

function wordsOf (message: Stored) {
  return groups.bookOf(message, 'billing').words.get(message.position) ?? []
}

function deadWords () {
  return [...groups.books.values()].flatMap(book => [...book.words.values()].flat()).filter(({ outcome }) => outcome === 'dead')
}

function countAt ({ queue, partition }: Stored): number {
  return remains.stored.filter(message => message.queue === queue && message.partition === partition).length
}

function inserted (message: Stored): Undo {
  remains.stored.push(message)
  return () => { remains.stored.pop() }
}
