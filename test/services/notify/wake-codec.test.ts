import t from 'tap'
import { hintOf } from '../../../services/poll/hint.ts'
import type { Hint } from '../../../services/poll/hint.ts'
import { decodeHints, encodeEntries, entryOf } from '../../../services/notify/wake-codec.ts'

function orders (partition: string | null): Hint {
  return hintOf({ queue: 'shop.orders', namespace: 'shop', task: 'orders', partition, group: 'billing' })
}

function through (hints: Hint[]): Hint[] {
  const payload = encodeEntries('me', new Set(hints.map(entryOf)))
  t.ok(payload.length < 8000, 'what PostgreSQL takes')
  const { origin, hints: heard } = decodeHints(payload)
  t.equal(origin, 'me')
  return heard
}

t.test('hints come back as they were sent', async t => {
  const hints: Hint[] = [orders('p1'), orders(null), { kind: 'changed', queue: 'q' }, { kind: 'settings' }, { kind: 'all' }]
  t.same(through(hints), hints)
})

t.test('hints that do not fit name queues only, then everything', async t => {
  const partitions = Array.from({ length: 500 }, (_, i) => orders(`p${i}`))
  t.same(through([...partitions, { kind: 'changed', queue: 'q' }]), [{ ...orders(null), group: '' }, { kind: 'changed', queue: 'q' }])
  const queues = Array.from({ length: 1000 }, (_, i) => hintOf({ queue: `q${i}`, namespace: `q${i}`, task: '', partition: 'p', group: null }))
  t.same(through(queues), [{ kind: 'all' }])
  t.same(through([...queues, { kind: 'changed', queue: 'q' }]), [{ kind: 'all' }, { kind: 'changed', queue: '*' }], 'a change is never left out')
  t.same(through([...queues, { kind: 'settings' }]), [{ kind: 'all' }, { kind: 'changed', queue: '*' }], 'nor are settings')
})
