import t from 'tap'
import { markdownReport } from '../../scripts/bench/report/markdown.ts'
import { markdownTable, plainTable, short } from '../../scripts/bench/report/format.ts'
import { plotsOf } from '../../scripts/bench/report/plots.ts'
import { faultsOf } from '../../scripts/bench/report/results.ts'
import { comparisonTable, resourceTable, scalingTable, throughputTable } from '../../scripts/bench/report/tables.ts'
import { repetition, report, series } from './results.ts'

const PUSH = series('push-100', [repetition(1000), repetition(3000), repetition(2000)], { compareWith: ['insert-100', 'not-there'] })
const FLOOR = series('insert-100', [repetition(500)], { section: 'floor' })

t.test('a table shows medians and the spread of the repetitions', async t => {
  const [head = [], row = []] = throughputTable(report([PUSH]), 'push')
  const cell = (name: string): string | undefined => row[head.indexOf(name)]
  t.equal(row[0], 'title of push-100')
  t.equal(cell('msg/s'), '2 000')
  t.equal(cell('min – max'), '1 000 – 3 000')
  t.equal(cell('server µs/msg'), '250')
})

t.test('what could not be seen is n/a, never zero', async t => {
  const [head = [], row = []] = resourceTable(report([series('drain', [repetition(10, { requests: 0, serverCpuSeconds: null })])]), 'push')
  t.equal(row[head.indexOf('PostgreSQL PSS')], 'n/a')
  t.equal(row[head.indexOf('server CPU')], 'n/a')
  t.equal(row[head.indexOf('generator µs/req')], 'n/a')
})

t.test('a workload is compared with the floors and peers that were measured', async t => {
  t.strictSame(comparisonTable(report([PUSH, FLOOR])).slice(1), [['title of push-100', 'title of insert-100', '2 000', '500', '4.00 ×']])
})

t.test('more processes are compared by workload, and do not mix with the others', async t => {
  const two = series('push-100', [repetition(3600)], { workers: 2 })
  const whole = report([PUSH, two], [1, 2])
  t.strictSame(scalingTable(whole), [['msg/s (share of PostgreSQL)', '1 process', '2 processes'], ['title of push-100', '2 000 (33 %)', '3 600 (33 %)']])
  t.equal(throughputTable(whole, 'push').length, 2)
  t.strictSame(scalingTable(report([PUSH])), [])
})

t.test('the page names what went wrong', async t => {
  const wrong = report([series('push-100', [repetition(1, { faults: ['a duplicate'] })]), series('wake', [], { section: 'latency', failures: ['it ended'] })])
  t.strictSame(faultsOf(wrong), ['push-100: a duplicate', 'wake: it ended'])
  t.match(markdownReport(wrong, []), /mean nothing:\*\*\n\n- push-100: a duplicate\n- wake: it ended\n/)
  t.notMatch(markdownReport(report([PUSH]), []), 'mean nothing')
})

t.test('the page shows the plots that there are, and warns of a generator that was busy', async t => {
  const busy = report([series('push-100', [repetition(1000, { generatorCpuSeconds: 0.95 })])])
  const plots = plotsOf(busy)
  t.strictSame(plots.map(({ name }) => name), ['push'])
  const page = markdownReport(busy, plots)
  t.match(page, '![Pushing, beside floors and peers](benchmarks/push.svg)')
  t.match(page, 'title of push-100 (95 %)')
  t.notMatch(page, 'benchmarks/latency.svg')
  t.notMatch(page, /undefined|NaN|Infinity/)
  t.notMatch(markdownReport(report([PUSH]), []), 'took a core nearly to itself')
})

t.test('tables hold their columns together, whatever the cells hold', async t => {
  t.equal(markdownTable([['a', 'b'], ['x|y', '1']]), '| a | b |\n| --- | ---: |\n| x\\|y | 1 |')
  t.equal(plainTable([['name', 'n'], ['x', '100']]), 'name    n\nx     100')
})

t.test('figures keep three digits', async t => {
  t.strictSame([0, 0.00123, 0.42, 1.234, 12.34, 123.4, 1234].map(short), ['0.00', '0.0012', '0.42', '1.23', '12.3', '123', '1234'])
})
