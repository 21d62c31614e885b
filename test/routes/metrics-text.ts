/** Samples carry the family's name, those of a histogram with the ending that says what they are. */
export interface Family { type: string, help: string, samples: { name: string, labels: Record<string, string>, value: number }[] }

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const HISTOGRAM_ENDINGS = ['_bucket', '_sum', '_count']
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`)
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/

/**
 * Reads the Prometheus text format, strictly: every family once, with help and type before its samples and its samples
 * together; no series twice; counters end in _total and are not negative. Throws for anything else.
 */
export function parseExposition (text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  if (!text.endsWith('\n')) throw new Error('does not end with a line feed')
  let name = ''
  let family: Family | undefined
  const series = new Set<string>()
  for (const line of text.slice(0, -1).split('\n')) {
    const help = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(line)
    const type = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`).exec(line)
    if (help !== null) {
      if (family?.samples.length === 0) throw new Error(`no samples: ${name}`)
      name = help[1] ?? ''
      if (families.has(name)) throw new Error(`family twice: ${name}`)
      family = { type: '', help: help[2] ?? '', samples: [] }
      families.set(name, family)
    } else if (type !== null) {
      if (type[1] !== name || family === undefined || family.type !== '' || family.samples.length > 0) throw new Error(`type out of place: ${line}`)
      family.type = type[2] ?? ''
    } else {
      const sample = SAMPLE.exec(line)
      if (sample === null || family === undefined || family.type === '' || !isNameIn(family.type, name, sample[1])) throw new Error(`sample out of place: ${line}`)
      const value = Number(sample[3])
      if (!Number.isFinite(value)) throw new Error(`no number: ${line}`)
      if (family.type === 'counter' && (value < 0 || !name.endsWith('_total'))) throw new Error(`no counter: ${line}`)
      const labels = parseLabels(sample[2] ?? '')
      const sampleName = sample[1] ?? ''
      const key = `${sampleName} ${JSON.stringify(Object.entries(labels).sort())}`
      if (series.has(key)) throw new Error(`series twice: ${line}`)
      series.add(key)
      family.samples.push({ name: sampleName, labels, value })
    }
  }
  if (family?.samples.length === 0) throw new Error(`no samples: ${name}`)
  return families
}

function isNameIn (type: string, family: string, name = ''): boolean {
  return type === 'histogram' ? HISTOGRAM_ENDINGS.some(ending => name === family + ending) : name === family
}

/** The name of the family that a sample belongs to. */
export function familyOf (families: Map<string, Family>, name: string): string {
  const ending = HISTOGRAM_ENDINGS.find(ending => name.endsWith(ending))
  const base = ending === undefined ? name : name.slice(0, -ending.length)
  return families.get(base)?.type === 'histogram' ? base : name
}

function parseLabels (text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== '') {
    const label = LABEL.exec(rest)
    if (label === null) throw new Error(`labels: ${text}`)
    const [whole, name = '', value = ''] = label
    if (name in labels) throw new Error(`label twice: ${text}`)
    labels[name] = value.replace(/\\(.)/g, (_match, character: string) => character === 'n' ? '\n' : character)
    rest = rest.slice(whole.length)
  }
  return labels
}

/** The value of the series with exactly this name and these labels. Throws when there is none. */
export function valueOf (families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number {
  const wanted = JSON.stringify(Object.entries(labels).sort())
  const sample = families.get(familyOf(families, name))?.samples.find(known => known.name === name && JSON.stringify(Object.entries(known.labels).sort()) === wanted)
  if (sample === undefined) throw new Error(`no such series: ${name} ${wanted}`)
  return sample.value
}
