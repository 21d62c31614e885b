import t from 'tap'
import { percentiles, spreadOf } from '../../scripts/bench/statistics.ts'

t.test('percentiles are values that were measured, by the nearest rank', async t => {
  const shuffled = Array.from({ length: 1000 }, (_, i) => (i * 7) % 1000 + 1)
  t.strictSame(percentiles(shuffled), { p50Ms: 500, p90Ms: 900, p99Ms: 990, p999Ms: 999, maxMs: 1000 })
  t.strictSame(percentiles([3]), { p50Ms: 3, p90Ms: 3, p99Ms: 3, p999Ms: 3, maxMs: 3 })
  t.strictSame(percentiles([2, 1]), { p50Ms: 1, p90Ms: 2, p99Ms: 2, p999Ms: 2, maxMs: 2 })
})

t.test('numbers are sorted as numbers, and what is passed in stays as it was', async t => {
  const values = [100, 9, 20]
  t.equal(percentiles(values)?.p50Ms, 20)
  t.strictSame(spreadOf(values), { median: 20, min: 9, max: 100 })
  t.strictSame(values, [100, 9, 20])
})

t.test('of an even number of repetitions the median lies between the middle two', async t => {
  t.strictSame(spreadOf([4, 1, 2, 8]), { median: 3, min: 1, max: 8 })
})

t.test('nothing measured is told from zero', async t => {
  t.equal(percentiles([]), null)
  t.equal(spreadOf([]), null)
})
