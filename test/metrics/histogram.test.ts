import t from 'tap'
import { Exposition } from '../../services/metrics/exposition.ts'
import { Histogram } from '../../services/metrics/histogram.ts'
import { parseExposition, valueOf } from '../routes/metrics-text.ts'

t.test('a value belongs to the first bucket whose bound it does not exceed', async t => {
  const histogram = new Histogram([1, 2, 5])
  for (const value of [0, 1, 1.5, 2, 2.1, 5, 6, 1e9]) histogram.observe(value)
  t.same(histogram.figures, { bounds: [1, 2, 5], counts: [2, 2, 2, 2], sum: 17.6 + 1e9 })
})

t.test('a value that came several times counts as often', async t => {
  const histogram = new Histogram([1, 10])
  histogram.observe(4, 250)
  histogram.observe(0.5)
  t.same(histogram.figures, { bounds: [1, 10], counts: [1, 250, 0], sum: 1000.5 })
})

t.test('figures that were read do not change any more', async t => {
  const histogram = new Histogram([1])
  const { figures } = histogram
  histogram.observe(1)
  t.same(figures, { bounds: [1], counts: [0, 0], sum: 0 })
})

t.test('a scraper is shown cumulative buckets, the last of which holds everything', async t => {
  const histogram = new Histogram([0.5, 2.5])
  histogram.observe(0.1, 3)
  histogram.observe(2)
  histogram.observe(100)
  const exposition = new Exposition()
  exposition.addHistogram('took_seconds', 'How long it took', [[{ route: '/a"b' }, histogram.figures], [{ route: '/c' }, new Histogram([0.5, 2.5]).figures]])
  exposition.addHistogram('nothing_seconds', 'Nothing', [])
  const families = parseExposition(exposition.toString())
  t.same([...families.keys()], ['took_seconds'], 'no family without samples')
  t.match(families.get('took_seconds'), { type: 'histogram', help: 'How long it took' })
  const value = (name: string, labels: Record<string, string> = {}): number => valueOf(families, name, { route: '/a"b', ...labels })
  t.same(['0.5', '2.5', '+Inf'].map(le => value('took_seconds_bucket', { le })), [3, 4, 5])
  t.equal(value('took_seconds_count'), 5)
  t.equal(value('took_seconds_sum').toFixed(3), '102.300')
  t.equal(valueOf(families, 'took_seconds_count', { route: '/c' }), 0)
})
