import t from 'tap'
import { barPlot, latencyPlot } from '../../scripts/bench/report/svg.ts'

function attributes (svg: string, element: string, name: string): number[] {
  return [...svg.matchAll(new RegExp(`<${element} [^>]*?\\b${name}="([\\d.]+)"`, 'g'))].map(([, value]) => Number(value))
}

t.test('bars are as long as their medians, and their spread is drawn', async t => {
  const svg = barPlot('Rates', 'messages a second', [
    { label: 'one', value: { median: 100, min: 50, max: 200 }, isOurs: true },
    { label: 'other', value: { median: 50, min: 50, max: 50 }, isOurs: false }
  ])
  const [first = 0, second = 0] = attributes(svg, 'rect', 'width')
  t.equal(first, second * 2)
  const [from = 0, to = 0] = [attributes(svg, 'line', 'x1')[0], attributes(svg, 'line', 'x2')[0]]
  const [left = 0] = attributes(svg, 'rect', 'x')
  t.equal(from - left, first / 2)
  t.equal(to - left, first * 2)
})

t.test('latencies lie on a logarithmic scale', async t => {
  const svg = latencyPlot('Latency', [{ label: 'wake', values: { p50Ms: 1, p90Ms: 10, p99Ms: 100, p999Ms: 1000, maxMs: 2000 } }])
  const [p50 = 0, p90 = 0, p99 = 0, p999 = 0] = attributes(svg, 'circle', 'cx').slice(4)
  t.ok(p90 > p50)
  t.ok(Math.abs((p90 - p50) - (p99 - p90)) < 0.3)
  t.ok(Math.abs((p99 - p90) - (p999 - p99)) < 0.3)
})

t.test('no figure leads to an attribute that is none', async t => {
  const nothing = { p50Ms: 0, p90Ms: 0, p99Ms: 0, p999Ms: 0, maxMs: 0 }
  const none = { median: 0, min: 0, max: 0 }
  for (const svg of [barPlot('Empty', 'x', []), barPlot('Zero', 'x', [{ label: 'a', value: none, isOurs: true }]), latencyPlot('Empty', []), latencyPlot('Zero', [{ label: 'a', values: nothing }])]) {
    t.notMatch(svg, /NaN|Infinity|undefined/)
  }
})

t.test('labels cannot break the document, and both colour schemes are served', async t => {
  const svg = barPlot('a < b & "c"', 'x', [{ label: '<script>', value: { median: 1, min: 1, max: 1 }, isOurs: true }])
  t.match(svg, 'a &lt; b &amp; &quot;c&quot;')
  t.notMatch(svg, '<script>')
  t.match(svg, 'prefers-color-scheme: dark')
})
