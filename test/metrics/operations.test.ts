import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { packageRoot } from '../../services/package-root.ts'
import { familyOf } from '../routes/metrics-text.ts'
import type { Family } from '../routes/metrics-text.ts'
import { familiesOfBusyService } from './exercised.ts'
import { readExpression } from './promql.ts'
import type { Matcher } from './promql.ts'

interface Rule { alert: string, expr: string, for?: string, labels: Record<string, string>, annotations: Record<string, string> }
interface Target { expr: string, legendFormat: string, refId: string }
interface Panel { id: number, type: string, title: string, gridPos: { x: number, y: number, w: number, h: number }, targets?: Target[] }
interface Dashboard { panels: Panel[], templating: { list: { name: string, type: string, definition?: string }[] } }

// Given by whoever scrapes, and by a service with several workers.
const GIVEN_LABELS = ['job', 'instance', 'worker_id']
// Which of them there are depends on what happens.
const OPEN_LABELS = ['status', 'route', 'method', 'queue', 'group', 'job', 'instance']

function file (name: string): string {
  return readFileSync(new URL(`docs/operations/${name}`, packageRoot()), 'utf8')
}

/** Checks what an expression reads against what there is; returns the labels of its result, as far as it groups by them. */
function check (t: Test, families: Map<string, Family>, expr: string, where: string): string[] {
  const { selectors, groupings } = readExpression(expr)
  t.ok(selectors.length > 0, `${where}: reads a metric`)
  const known = new Set(GIVEN_LABELS)
  for (const { name, matchers } of selectors) {
    const samples = families.get(familyOf(families, name))?.samples.filter(sample => sample.name === name) ?? []
    // Of Prometheus itself: whether a target answers.
    if (name !== 'up') t.ok(samples.length > 0, `${where}: ${name} is exposed`)
    for (const { labels } of samples) for (const label of Object.keys(labels)) known.add(label)
    for (const matcher of matchers) {
      t.ok(GIVEN_LABELS.includes(matcher.label) || samples.some(({ labels }) => matcher.label in labels), `${where}: ${name} has the label ${matcher.label}`)
      for (const value of fixedValues(matcher)) {
        t.ok(samples.some(({ labels }) => labels[matcher.label] === value), `${where}: ${name} has a series with ${matcher.label}="${value}"`)
      }
    }
  }
  for (const label of groupings) t.ok(known.has(label), `${where}: the label ${label} is there`)
  return groupings
}

function fixedValues ({ label, value }: Matcher): string[] {
  return OPEN_LABELS.includes(label) ? [] : value.split('|')
}

t.test('what comes with the service for its operators reads metrics that there are', async t => {
  const families = await familiesOfBusyService(t)

  t.test('the dashboard', async t => {
    // The cast holds as far as what follows finds what it looks for.
    const { panels, templating: { list: variables } } = JSON.parse(file('grafana-dashboard.json')) as Dashboard
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, 'each panel has a number of its own')
    for (const { title, type, targets = [] } of panels) {
      t.equal(targets.length === 0, type === 'row', `${title}: only rows show nothing`)
      for (const { expr, legendFormat } of targets) {
        for (const [, name = ''] of expr.matchAll(/\$(\w+)/g)) {
          t.ok(name === '__rate_interval' || variables.some(variable => variable.name === name), `${title}: the variable ${name} is defined`)
        }
        const labels = check(t, families, expr, title)
        for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) t.ok(labels.includes(label), `${title}: ${label} of the legend is in the result`)
      }
    }
    for (const { name, definition } of variables.filter(({ type }) => type === 'query')) {
      const [, family = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(definition ?? '') ?? []
      check(t, families, `sum by (${label}) (${family})`, `variable ${name}`)
    }
    const overlapping = panels.filter(a => panels.some(b => a.id < b.id && overlap(a.gridPos, b.gridPos)))
    t.same(overlapping.map(({ title }) => title), [], 'no panel lies over another')
  })

  t.test('the alerts', async t => {
    const { groups } = parse(file('alerts.yaml'), { strict: true, uniqueKeys: true }) as { groups: { name: string, rules: Rule[] }[] }
    const rules = groups.flatMap(group => group.rules)
    t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length, 'each has a name of its own')
    for (const { alert, expr, for: duration = '0s', labels, annotations, ...rest } of rules) {
      t.match(alert, /^Regent[A-Z]\w+$/)
      t.same(rest, {}, `${alert}: nothing that Prometheus does not know`)
      t.match(duration, /^\d+[smh]$/, alert)
      t.match(labels, { severity: /^(info|warning|critical)$/ }, alert)
      t.match(annotations, { summary: /\S/, description: /\S.*\.$/, action: /\S.*\.$/ }, `${alert}: says what it means and what to do`)
      const known = [...check(t, families, expr, alert), ...(expr.startsWith('up{') ? ['instance'] : [])]
      for (const text of Object.values(annotations)) {
        for (const [, label = ''] of text.matchAll(/\$labels\.(\w+)/g)) t.ok(known.includes(label), `${alert}: ${label} is in the result`)
      }
    }
  })
})

function overlap (a: Panel['gridPos'], b: Panel['gridPos']): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

t.test('expressions that are not understood are no reason to be content', async t => {
  for (const wrong of ['sum(queen_x', 'sum(queen_x))', 'rat(queen_x[5m])', 'queen_x{a=b}', 'queen_x{a="b" c="d"}', 'sum by (a b) (queen_x)', 'queen_x # y', 'sum']) {
    t.throws(() => readExpression(wrong), wrong)
  }
})
