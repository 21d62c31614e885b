// What the checker of the fault suite is worth: forged journals, each with one thing wrong, and what it says to them.
import t from 'tap'
import type { Test } from 'tap'
import { messageId } from '../../services/log/ids.ts'
import { check } from './suite/checker.ts'
import type { Expectation } from './suite/checker.ts'
import { Journal, keyOf } from './suite/journal.ts'
import type { Call, Delivered, Item, Kind, Stored } from './suite/journal.ts'

const LEASE_MS = 4000
const EXPECTATION: Expectation = { groups: { q: ['g'], sources: ['workers'], results: [] }, targets: ['results'], leaseMs: LEASE_MS }
const AWAY = '503 RGT_DATABASE_AWAY'
const UNKNOWN = '503 RGT_OUTCOME_UNKNOWN'

/** A run that went well, to be spoilt. Every call takes 10 ms, and time passes between them as told. */
class Forgery {
  now = 0
  readonly journal = new Journal(() => this.now)
  readonly stored: Stored[] = []
  #leases = 0

  call (kind: Kind, answer: string): Call {
    const call = this.journal.begin(kind, 0)
    this.now += 10
    this.journal.end(call, answer)
    return call
  }

  store (item: Item, attempt = 1, source?: string): Stored {
    const { queue, partition, transactionId, sequence } = item
    const position = this.stored.filter(other => other.queue === queue && other.partition === partition).length + 1
    const data = { attempt, sequence, filler: '', ...(source === undefined ? {} : { source }) }
    const stored = { queue, partition, position, id: messageId(queue.length, position), transactionId, data }
    this.stored.push(stored)
    return stored
  }

  push (items: Item[], answer = '201', attempt = 1, status = 'queued'): void {
    const ids = new Map(this.stored.map(stored => [keyOf(stored), stored.id]))
    const results = answer === '201' ? items.map(item => ({ status, messageId: status === 'buffered' ? null : ids.get(keyOf(item)) ?? null })) : []
    this.journal.pushes.push({ call: this.call('push', answer), attempt, items, results })
  }

  deliver (group: string, stored: Stored[], deliveryCount = 1): Delivered[] {
    const leaseId = `lease-${this.#leases++}`
    const messages = stored.map(({ position, ...message }) => ({ ...message, partitionId: messageId(message.queue.length, 0), leaseId, deliveryCount }))
    this.journal.deliveries.push({ call: this.call('pop', '200'), group, messages })
    return messages
  }

  ack (group: string, messages: Delivered[], answer = '200', success = true): void {
    const words = messages.map(message => ({ message, status: 'completed' }))
    const results = answer === '200' ? words.map(() => ({ success, error: success ? null : 'Invalid or expired lease' })) : []
    this.journal.acks.push({ call: this.call('ack', answer), group, words, results })
  }

  transact (sources: Delivered[], targets: Item[], answer = '200', success: boolean | null = true): void {
    const pairs = sources.map((source, i) => ({ source, target: targets[i] ?? item(`none-${i}`) }))
    this.journal.transactions.push({ call: this.call('transaction', answer), group: 'workers', pairs, success })
  }

  get faults (): string[] {
    return check(this.journal, this.stored, EXPECTATION)
  }
}

function item (transactionId: string, sequence = 0, queue = 'q'): Item {
  return { queue, partition: 'p', transactionId, sequence }
}

const [A, B] = [item('a', 0), item('b', 1)]

/** Two messages pushed, stored, delivered and acknowledged as they should be. */
function goodRun (): Forgery {
  const run = new Forgery()
  const stored = [run.store(A), run.store(B)]
  run.push([A, B])
  run.ack('g', run.deliver('g', stored))
  return run
}

function says (t: Test, run: Forgery, ...faults: RegExp[]): void {
  const found = run.faults
  t.equal(found.length, faults.length, found.join('\n'))
  for (const [i, fault] of faults.entries()) t.match(found[i], fault)
}

t.test('nothing is said about a run that went well', async t => {
  const run = goodRun()
  // Repeated after an unknown outcome, taken by the file buffer, expired and taken over, acknowledged twice.
  const late = item('late', 2)
  run.push([late], UNKNOWN)
  const stored = run.store(late)
  run.push([late], '201', 2, 'buffered')
  const first = run.deliver('g', [stored])
  run.now += LEASE_MS
  const second = run.deliver('g', [stored], 2)
  run.ack('g', second, UNKNOWN)
  run.ack('g', second)
  run.ack('g', first, '200', false)
  // A transaction whose outcome was unknown had been carried out, and its repetition is refused.
  const source = run.store(item('s', 0, 'sources'))
  run.push([item('s', 0, 'sources')], '201', 1, 'duplicate')
  const leased = run.deliver('workers', [source])
  run.store(item('r1', 0, 'results'), 0, keyOf(source))
  run.transact(leased, [item('r1', 0, 'results')], UNKNOWN, null)
  run.transact(leased, [item('r2', 0, 'results')], '200', false)
  says(t, run)
})

t.test('a push that was answered and is not stored', async t => {
  for (const status of ['queued', 'duplicate', 'buffered']) {
    const run = goodRun()
    run.push([item('c', 2)], '201', 1, status)
    says(t, run, /^q\/p\/c is lost: it was answered /)
  }
})

t.test('a push that was said to have failed and is stored', async t => {
  const run = goodRun()
  const c = item('c', 2)
  run.push([c], AWAY)
  const stored = run.store(c, 1)
  run.push([c], '201', 2, 'duplicate')
  run.ack('g', run.deliver('g', [stored]))
  says(t, run, /^q\/p\/c is stored by a push that was answered 503 RGT_DATABASE_AWAY/)
})

t.test('a message that nobody pushed', async t => {
  const run = goodRun()
  run.ack('g', run.deliver('g', [run.store(item('x', 9))]))
  says(t, run, /^q\/p\/x is stored and was never pushed/)
})

t.test('a message that is stored twice', async t => {
  const run = goodRun()
  const again = run.store(A)
  again.data.sequence = 2
  run.ack('g', run.deliver('g', [again]))
  t.match(run.faults[0], /^q\/p\/a is stored twice/)
})

t.test('a message that comes to two groups as two', async t => {
  const run = goodRun()
  const [stored] = run.stored
  if (stored === undefined) throw new Error('nothing is stored')
  run.deliver('h', [{ ...stored, id: messageId(1, 7) }])
  says(t, run, /^q\/p\/a was delivered to h as .* and is stored as /)
})

t.test('a payload that changed', async t => {
  const run = goodRun()
  const [stored] = run.stored
  if (stored === undefined) throw new Error('nothing is stored')
  run.deliver('h', [{ ...stored, data: { ...stored.data, filler: 'y' } }])
  says(t, run, /^q\/p\/a was delivered to h with another payload/)
})

t.test('two messages of a producer that changed places', async t => {
  const run = new Forgery()
  const stored = [run.store(B), run.store(A)]
  run.push([A, B])
  run.ack('g', run.deliver('g', stored))
  says(t, run, /^q\/p: 0 is stored behind 1/)
})

t.test('a hole in the positions', async t => {
  const run = goodRun()
  for (const stored of run.stored) stored.position += stored.position - 1
  says(t, run, /^q\/p: position 3 follows 1/, /^g q\/p: position 3 was delivered when 1 was the last/)
})

t.test('deliveries out of order', async t => {
  const run = new Forgery()
  const [first, second] = [run.store(A), run.store(B)]
  run.push([A, B])
  run.ack('g', run.deliver('g', [second]))
  run.ack('g', run.deliver('g', [first]))
  says(t, run, /^g q\/p: position 2 was delivered when 0 was the last/)
  const other = new Forgery()
  const both = [other.store(A), other.store(B)]
  other.push([A, B])
  other.ack('g', other.deliver('g', both.reverse()))
  says(t, other, /^g q\/p: position 2 was delivered when 0/, /^g q\/p: position 1 was delivered behind 2/)
})

t.test('a message that was not consumed', async t => {
  const run = goodRun()
  const c = item('c', 2)
  const stored = run.store(c)
  run.push([c])
  run.deliver('g', [stored])
  says(t, run, /^q\/p\/c was never acknowledged by g/)
})

t.test('two leases at a time', async t => {
  const run = goodRun()
  const c = item('c', 2)
  const stored = run.store(c)
  run.push([c])
  run.deliver('g', [stored])
  run.now += LEASE_MS / 2
  run.ack('g', run.deliver('g', [stored]))
  says(t, run, /^g q\/p: leased to two consumers, under lease-1 and \d+ ms later lease-2/)
})

t.test('a message that comes again after it was acknowledged', async t => {
  const run = goodRun()
  run.now += 2 * LEASE_MS
  run.deliver('g', run.stored.slice(0, 1), 2)
  says(t, run, /^g q\/p: a was delivered \d+ ms after it had been acknowledged/)
})

t.test('a message that comes to a pop that waited while it was acknowledged', async t => {
  const run = goodRun()
  const pop = run.journal.begin('pop', 0)
  const c = item('c', 2)
  const stored = run.store(c)
  run.push([c])
  run.ack('g', run.deliver('g', [stored]))
  run.now += 10
  run.journal.end(pop, '200')
  run.journal.deliveries.push({ call: pop, group: 'g', messages: run.deliver('g', [stored]) })
  run.journal.deliveries.splice(-2, 1)
  says(t, run, /^g q\/p: c was delivered \d+ ms after it had been acknowledged/)
})

t.test('transactions', async t => {
  const source = item('s', 0, 'sources')
  const [one, two] = [item('r1', 0, 'results'), item('r2', 0, 'results')]
  /** A source that was delivered to a worker. */
  const begin = (): { run: Forgery, leased: Delivered[], key: string } => {
    const run = goodRun()
    const stored = run.store(source)
    run.push([source])
    return { run, leased: run.deliver('workers', [stored]), key: keyOf(source) }
  }

  t.test('that succeeded and pushed nothing', async t => {
    const { run, leased } = begin()
    run.transact(leased, [one])
    says(t, run, /^results\/p\/r1 is lost: its transaction succeeded/, /^sources\/p\/s was acknowledged in a transaction with its target, of which 0 are stored/)
  })

  t.test('that happened twice', async t => {
    const { run, leased, key } = begin()
    run.store(one, 0, key)
    run.store(two, 0, key)
    run.transact(leased, [one], UNKNOWN, null)
    run.transact(leased, [two])
    says(t, run, /^sources\/p\/s was acknowledged in a transaction with its target, of which 2 are stored/)
  })

  t.test('that were refused, or said to have changed nothing, and happened', async t => {
    const refused = begin()
    refused.run.store(one, 0, refused.key)
    refused.run.transact(refused.leased, [one], '200', false)
    says(t, refused.run, /^results\/p\/r1 is stored by a transaction that was refused/)
    const failed = begin()
    failed.run.store(one, 0, failed.key)
    failed.run.transact(failed.leased, [one], AWAY, null)
    says(t, failed.run, /^results\/p\/r1 is stored by a transaction that was answered 503 RGT_DATABASE_AWAY/)
  })

  t.test('of which half happened', async t => {
    const { run, key } = begin()
    const other = item('s2', 1, 'sources')
    const stored = run.store(other)
    run.push([other])
    run.journal.deliveries.pop()
    const leased = run.deliver('workers', [...run.stored.filter(message => keyOf(message) === key), stored])
    run.store(one, 0, key)
    run.transact(leased, [one, two])
    says(t, run, /^a transaction of 2 pushes, answered 200, stored 1 of them/, /^results\/p\/r2 is lost/, /^sources\/p\/s2 was acknowledged in a transaction with its target, of which 0/)
  })

  t.test('that nobody asked for', async t => {
    const { run, leased, key } = begin()
    run.store(one, 0, key)
    run.transact(leased, [one])
    run.store(two, 0, key)
    says(t, run, /^results\/p\/r2 is stored and no transaction pushed it/)
  })
})

t.test('requests that ended badly', async t => {
  const run = goodRun()
  run.journal.begin('pop', 0)
  run.call('push', 'silent')
  run.call('ack', 'closed')
  run.call('pop', '503 RGT_DATABASE_AWAY')
  run.call('push', '500 RGT_INTERNAL')
  run.call('transaction', '503 <html>')
  says(t, run, /never answered/, /never answered/, /was closed at \d+ without a fault/, /^pop .*: answered 503/, /^push .*: answered 500/, /^transaction .*: answered 503 </)
})

t.test('connections that a fault of ours closed', async t => {
  const run = goodRun()
  const early = run.journal.begin('pop', 0)
  run.now += 1000
  const open = run.journal.begin('push', 0)
  run.journal.down(0, 'killed')
  run.now += 5
  for (const call of [early, open]) run.journal.end(call, 'closed')
  run.call('push', 'closed')
  run.journal.up(0)
  says(t, run)
  run.now += 10
  run.call('push', 'closed')
  says(t, run, /^push to server 0, sent at \d+: its connection was closed/)

  const stopped = goodRun()
  const parked = stopped.journal.begin('pop', 0)
  stopped.now += 1000
  stopped.journal.down(0, 'stopped')
  const late = stopped.journal.begin('push', 0)
  stopped.now += 5
  for (const call of [parked, late]) stopped.journal.end(call, 'closed')
  says(t, stopped, /^pop to server 0.*its connection was closed/)
})
