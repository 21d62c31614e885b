import t from 'tap'
import { gatherUnits, outcomesOf, packAcks } from '../../../services/queue/ack-units.ts'
import type { AckRow, AckUnit, Placed } from '../../../services/queue/ack-units.ts'
import { settleAcks } from '../../../services/queue/ack.ts'
import type { Acknowledgement, AckStatus } from '../../../services/queue/types.ts'

const L1 = '00000000-0001-4000-a000-000000000001'
const L2 = '00000000-0001-4000-a000-000000000002'

function word (partitionId: number, position: number, status: AckStatus | null = 'completed', { group = 'g', leaseId = null as string | null, error = '' } = {}): Placed {
  const ack: Acknowledgement = { transactionId: `${partitionId}/${position}`, partitionId: 'p', group, status, leaseId, error }
  return { ack, partitionId, position }
}

function row (fields: Partial<AckRow>): AckRow {
  return { unit: 1, known: true, queue: 'q', namespace: '', task: '', partition: 'p', lease_ok: true, committed: '0', acked: null, last_position: '100', released: false, available_ms: null, outcomes: '', ...fields }
}

const gather = (...words: Placed[]): AckUnit[] => gatherUnits(words, ack => ack.leaseId)

t.test('gathers by partition, group and lease, in the order in which cursors are locked', async t => {
  const units = gather(word(2, 1), word(1, 5, 'completed', { group: 'h' }), word(1, 7), word(2, 3), word(1, 8, 'completed', { leaseId: L1 }), word(10, 1))
  t.same(units.map(unit => [unit.partitionId, unit.group, unit.leases, [...unit.words.keys()]]), [
    [1, 'g', null, [7]], [1, 'g', L1, [8]], [1, 'h', null, [5]], [2, 'g', null, [1, 3]], [10, 'g', null, [1]]
  ])
})

t.test('lets the first word about a message count', async t => {
  const [unit] = gather(word(1, 1, 'failed'), word(1, 1), word(1, 1, 'dlq'))
  t.equal(unit?.words.size, 1)
  t.equal(unit?.words.get(1)?.ack.status, 'failed')
})

t.test('packs completed positions as ranges and the others one by one', async t => {
  const units = gather(word(1, 3), word(1, 1), word(1, 2), word(1, 7), word(1, 5, 'failed', { error: 'a\u001eb' }), word(1, 9, 'dlq', { error: '' }), word(1, 8, null),
    word(2, 4, 'retry'), word(3, 1, 'completed', { group: 'x"\\', leaseId: L1 }))
  t.same(packAcks(units), {
    partitions: '{1,2,3}',
    groups: '{"g","g","x\\"\\\\"}',
    leases: `{NULL,NULL,"${L1}"}`,
    ranges: '{2,0,1}',
    from: '{1,7,1}',
    to: '{3,7,1}',
    others: '{2,1,0}',
    positions: '{5,9,4}',
    kinds: '{"failed","dlq","retry"}',
    errors: 'a b\u001e\u001e'
  })
  t.same(packAcks([]), { partitions: '{}', groups: '{}', leases: '{}', ranges: '{}', from: '{}', to: '{}', others: '{}', positions: '{}', kinds: '{}', errors: '' })
})

t.test('does not join ranges of different units', async t => {
  t.match(packAcks(gather(word(1, 1), word(1, 2), word(2, 3), word(2, 4))), { from: '{1,3}', to: '{2,4}', ranges: '{1,1}' })
})

t.test('reads what became of each position', async t => {
  const [unit] = gather(word(1, 9, 'failed'), word(1, 2), word(1, 4), word(1, 5), word(1, 7), word(1, 6, 'dlq'), word(1, 8, 'retry'), word(1, 3, 'dlq'), word(1, 11))
  if (unit === undefined) throw new Error('no unit')
  t.same([...outcomesOf(unit, row({ committed: '3', acked: '{[5,6)}', last_position: '10', outcomes: 'adlr' }))].sort(([a], [b]) => a - b),
    [[2, 'done'], [3, 'already'], [4, 'done'], [5, 'done'], [6, 'dead'], [7, 'done'], [8, 'lease'], [9, 'again'], [11, 'lease']])
  t.same([...outcomesOf(unit, row({ lease_ok: false, committed: '3', acked: '{[5,6)}', outcomes: 'alll' }))].sort(([a], [b]) => a - b).map(([, outcome]) => outcome),
    ['done', 'already', 'lease', 'done', 'lease', 'lease', 'lease', 'lease', 'lease'], 'what had been acknowledged is done whatever the lease')
  t.same([...outcomesOf(unit, row({ known: false })).values()], Array(9).fill('unknown_group'))
})

t.test('settles each acknowledgement with the outcome under its own lease, also when it is said twice', async t => {
  const placed = [word(1, 1, 'completed', { leaseId: L1 }), word(1, 1, 'completed', { leaseId: L2 }), word(1, 1, 'completed', { leaseId: L1 }), word(1, 1, 'completed', { leaseId: L2 }), null]
  const units = gather(...placed.filter(entry => entry !== null))
  const acks = placed.map(entry => entry?.ack ?? word(9, 9).ack)
  for (const [first, second] of [[true, false], [false, true]]) {
    const rows = [row({ unit: 1, lease_ok: first === true }), row({ unit: 2, lease_ok: second === true })]
    const expected = units[0]?.leases === L1 ? [first, second] : [second, first]
    t.same(settleAcks(acks, placed, units, rows).map(result => result.success), [...expected, ...expected, false])
  }
})

t.test('settles a second word that names the lease the first rested on without naming it', async t => {
  const placed = [word(1, 1, 'completed', { leaseId: null }), word(1, 1, 'completed', { leaseId: L1 })]
  const units = gatherUnits(placed, () => L1)
  t.equal(units.length, 1)
  t.same(settleAcks(placed.map(entry => entry.ack), placed, units, [row({ released: true })]).map(({ success, leaseReleased }) => [success, leaseReleased]), [[true, true], [true, true]])
})

t.test('says what is unknown about a message, its group or its queue', async t => {
  const placed = [word(1, 1), word(2, 1), null, word(3, 1, null)]
  const acks = placed.map(entry => entry?.ack ?? word(9, 9).ack)
  const units = gather(...placed.filter(entry => entry !== null && entry.ack.status !== null) as Placed[])
  const rows = [row({ unit: 1, known: false }), row({ unit: 2, known: false, queue: null, partition: null })]
  t.same(settleAcks(acks, placed, units, rows).map(result => [result.success, result.error, result.queue, result.leaseReleased]), [
    [false, 'Message was not delivered to this consumer group', 'q', null],
    [false, 'Message not found', null, null],
    [false, 'Message not found', null, null],
    [false, null, null, null]
  ])
})
