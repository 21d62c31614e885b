import { count, short } from './format.ts'
import type { Percentiles, Spread } from '../statistics.ts'

export interface BarRow {
  label: string
  value: Spread
  /** Ours, or something to compare with. */
  isOurs: boolean
}

export interface LatencyRow {
  label: string
  values: Percentiles
}

const WIDTH = 960
const LABEL_WIDTH = 430
const RIGHT = 110
const TOP = 44
const ROW = 26
const PLOT = WIDTH - LABEL_WIDTH - RIGHT
const CHARACTER = 6.6
const MARKS = [['p50Ms', 'p50'], ['p90Ms', 'p90'], ['p99Ms', 'p99'], ['p999Ms', 'p99.9']] as const

// A plot is an image of its own and does not see the page's style: it asks for the reader's preference itself.
const STYLE = `<style>
text { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.small { font-size: 11px; fill: #57606a }
.ours { fill: #0969da } .other { fill: #8c959f }
.line { stroke: #24292f; stroke-width: 1.5 } .grid { stroke: #d0d7de }
.p50 { fill: #1a7f37 } .p90 { fill: #0969da } .p99 { fill: #bc4c00 } .p999 { fill: #cf222e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9198a1 }
.ours { fill: #4493f8 } .other { fill: #656c76 }
.line { stroke: #e6edf3 } .grid { stroke: #3d444d }
.p50 { fill: #3fb950 } .p90 { fill: #4493f8 } .p99 { fill: #f0883e } .p999 { fill: #f85149 }
}
</style>`

/** Horizontal bars, the longest one over the whole width; a thin line from the least to the greatest repetition. */
export function barPlot (title: string, unit: string, rows: readonly BarRow[]): string {
  const greatest = Math.max(...rows.map(({ value }) => value.max), Number.MIN_VALUE)
  const x = (value: number): number => round(LABEL_WIDTH + value / greatest * PLOT)
  const body = rows.map(({ label, value, isOurs }, i) => {
    const y = TOP + i * ROW
    const middle = y + 9
    return `${rowLabel(label, middle)}
<rect class="${isOurs ? 'ours' : 'other'}" x="${LABEL_WIDTH}" y="${y}" width="${round(x(value.median) - LABEL_WIDTH)}" height="18" rx="2"/>
<line class="line" x1="${x(value.min)}" y1="${middle}" x2="${x(value.max)}" y2="${middle}"/>
<text x="${round(x(value.max) + 6)}" y="${middle + 4}">${escape(count(value.median))}</text>`
  })
  return frame(title, `${unit}: median of the repetitions, line from the least to the greatest`, rows.length, body)
}

/** Percentiles on a logarithmic scale, a row each. */
export function latencyPlot (title: string, rows: readonly LatencyRow[]): string {
  const all = rows.flatMap(({ values }) => MARKS.map(([key]) => values[key])).filter(value => value > 0)
  const from = Math.floor(Math.log10(Math.min(...all, 1)))
  const to = Math.max(Math.ceil(Math.log10(Math.max(...all, 1))), from + 1)
  const x = (value: number): number => round(LABEL_WIDTH + (Math.log10(Math.max(value, 10 ** from)) - from) / (to - from) * PLOT)
  const bottom = TOP + rows.length * ROW
  const grid = Array.from({ length: to - from + 1 }, (_, i) => {
    const at = x(10 ** (from + i))
    return `<line class="grid" x1="${at}" y1="${TOP - 6}" x2="${at}" y2="${bottom}"/>
<text class="small" x="${at}" y="${bottom + 14}" text-anchor="middle">${short(10 ** (from + i))} ms</text>`
  })
  const body = rows.map(({ label, values }, i) => {
    const y = TOP + i * ROW + 9
    return `${rowLabel(label, y)}
<line class="line" x1="${x(values.p50Ms)}" y1="${y}" x2="${x(values.p999Ms)}" y2="${y}"/>
${MARKS.map(([key, name]) => `<circle class="${name.replace('.', '')}" cx="${x(values[key])}" cy="${y}" r="5"><title>${name} ${short(values[key])} ms</title></circle>`).join('')}
<text class="small" x="${WIDTH - RIGHT + 12}" y="${y + 4}">p99 ${short(values.p99Ms)} ms</text>`
  })
  const legend = MARKS.map(([, name], i) => `<circle class="${name.replace('.', '')}" cx="${WIDTH - 240 + i * 60}" cy="16" r="5"/><text x="${WIDTH - 231 + i * 60}" y="20">${name}</text>`)
  return frame(title, 'milliseconds, logarithmic; medians of the repetitions', rows.length + 1, [...legend, ...grid, ...body])
}

function frame (title: string, subtitle: string, rows: number, body: string[]): string {
  const height = TOP + rows * ROW + 8
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}">
${STYLE}
<text class="title" x="8" y="18">${escape(title)}</text>
<text class="small" x="8" y="34">${escape(subtitle)}</text>
${body.join('\n')}
</svg>
`
}

function rowLabel (label: string, middle: number): string {
  const room = Math.floor((LABEL_WIDTH - 16) / CHARACTER)
  const text = label.length <= room ? label : `${label.slice(0, room - 1)}…`
  return `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escape(text)}</text>`
}

function escape (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

function round (value: number): number {
  return Math.round(value * 10) / 10
}
