import { readFileSync } from 'node:fs'
import t from 'tap'
import { packageRoot } from '../../services/package-root.ts'
import { familiesOfBusyService } from './exercised.ts'

const ROW = /^\| `(queen_\w+)` \| (counter|gauge|histogram) \|([^|]*)\| .+ \|$/gm
const text = readFileSync(new URL('docs/metrics.md', packageRoot()), 'utf8')

t.test('the documentation lists every family that a service exposes with its type and labels, and no other', async t => {
  const families = await familiesOfBusyService(t)
  const documented = [...text.matchAll(ROW)].map(([, name = '', type, labels = '']) =>
    [name, type, [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).sort()] as const)
  const exposed = [...families].map(([name, { type, samples }]) => {
    const labels = new Set(samples.flatMap(sample => Object.keys(sample.labels)))
    labels.delete('le')
    return [name, type, [...labels].sort()] as const
  })
  t.strictSame(documented.map(String).sort(), exposed.map(String).sort())
})
