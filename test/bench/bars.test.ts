import t from 'tap'
import { judgeBars } from '../../scripts/bench/report/bars.ts'
import type { Bar } from '../../scripts/bench/report/bars.ts'
import type { Series } from '../../scripts/bench/report/results.ts'
import { repetition, report, series } from './results.ts'

function bar (title: string, ...all: Series[]): Bar {
  const found = judgeBars(report(all)).find(({ text }) => text.startsWith(title))
  if (found === undefined) throw new Error(`no bar ${title}`)
  return found
}

t.test('a bar is reached when the median of its repetitions is', async t => {
  t.match(bar('push, 10 per', series('push-10', [10_000, 50_000, 90_000].map(rate => repetition(rate)))), { isReached: true, measured: '50 000/s' })
  t.match(bar('push, 10 per', series('push-10', [10_000, 49_999, 90_000].map(rate => repetition(rate)))), { isReached: false })
})

t.test('all parts of a bar must be reached: rate, latency and ratio', async t => {
  const push = (messages: number, p50Ms: number): Series =>
    series('push-100', [repetition(messages, { latency: { p50Ms, p90Ms: 100, p99Ms: 100, p999Ms: 100, maxMs: 100 } })])
  const floor = series('insert-100', [repetition(40_000)])
  t.equal(bar('push, 100 per', push(120_000, 19), floor).isReached, true)
  t.equal(bar('push, 100 per', push(120_000, 20), floor).isReached, false, 'latency')
  t.equal(bar('push, 100 per', push(119_000, 19), floor).isReached, false, 'ratio')
  t.equal(bar('push, 100 per', push(99_000, 19), series('insert-100', [repetition(1000)])).isReached, false, 'rate')
})

t.test('requests count where requests are asked for, and figures of a workload where they are', async t => {
  t.equal(bar('push, 1 per', series('push-1', [repetition(9000, { requests: 10_000 })]), series('bare-route', [repetition(15_000)])).isReached, true)
  t.equal(bar('10 consumer', series('fan-out-10', [repetition(1, { figures: { timesOneGroup: 5.9 } })])).isReached, false)
  t.equal(bar('10 consumer', series('fan-out-10', [repetition(1, { figures: { timesOneGroup: 6 } })])).isReached, true)
})

t.test('what was not measured is neither reached nor missed', async t => {
  t.match(bar('pop 1000 and'), { isReached: null, measured: 'not measured' })
  t.equal(bar('push, 100 per', series('push-100', [repetition(200_000)])).isReached, null, 'no floor to compare with')
  t.equal(bar('push, 100 per', series('push-100', [repetition(1)])).isReached, false, 'missed already')
  t.equal(bar('pop 1000 and', series('pop-1000-ack', [])).isReached, null, 'every repetition failed')
})
