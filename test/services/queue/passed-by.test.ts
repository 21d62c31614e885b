import t from 'tap'
import type { LookSpec } from '../../../services/poll/types.ts'
import { PassedBy } from '../../../services/queue/passed-by.ts'

const spec = lookAt('q')

function lookAt (queue: string): LookSpec {
  return { target: { queue, partition: null, namespace: null, task: null }, group: 'g', subscription: { mode: 'all' }, waitedMs: () => 0, requests: [] }
}

t.test('while looking through everything is cheap, that is what every look does', async t => {
  const passedBy = new PassedBy(() => 0)
  for (const passed of ['1', '2']) {
    t.equal(passedBy.from(spec), null)
    t.equal(passedBy.saw(spec, null, { scanMs: 0.5, passed }), null, 'and nothing is left for another look')
  }
})

t.test('once it is expensive, a fortieth of the time goes into it, and the others begin where nothing was before', async t => {
  let now = 1000
  const passedBy = new PassedBy(() => now)
  t.equal(passedBy.saw(spec, passedBy.from(spec), { scanMs: 10, passed: 'A' }), null)
  now += 100
  t.equal(passedBy.from(spec), 'A')
  t.equal(passedBy.saw(spec, 'A', { scanMs: 0.1, passed: 'B' }), 300, 'when everything is looked through again')
  t.equal(passedBy.from(spec), 'B')
  t.equal(passedBy.from(lookAt('other')), null, 'of another queue nothing is known')
  now += 300
  t.equal(passedBy.from(spec), null)
  passedBy.saw(spec, null, { scanMs: 0.1, passed: 'C' })
  t.equal(passedBy.from(spec), null, 'it has become cheap')
})

t.test('what is known of queues is bounded', async t => {
  const passedBy = new PassedBy(() => 0)
  passedBy.saw(spec, null, { scanMs: 10, passed: 'A' })
  for (let i = 0; i < 10_000; i++) passedBy.saw(lookAt(`q${i}`), null, { scanMs: 10, passed: 'A' })
  t.equal(passedBy.from(spec), null, 'the one looked at longest ago is forgotten')
  t.equal(passedBy.from(lookAt('q9999')), 'A')
  t.equal(passedBy.saw(spec, 'A', { scanMs: 0.1, passed: 'B' }), 0, 'a look that was under way: everything is looked through at once')
})
