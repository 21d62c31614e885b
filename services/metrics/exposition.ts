export type Labels = Readonly<Record<string, string | number>>
export type Samples = readonly (readonly [labels: Labels, value: number])[]

/** Metrics in the Prometheus text format, version 0.0.4: each family with its help and type, then all of its samples. */
export class Exposition {
  #text = ''

  /** Add a family; without samples it is left out. Names are ours, label values may be anything. */
  add (name: string, type: 'counter' | 'gauge', help: string, samples: Samples): void {
    if (samples.length === 0) return
    this.#text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
    for (const [labels, value] of samples) this.#text += `${name}${labelsText(labels)} ${value}\n`
  }

  toString (): string {
    return this.#text
  }
}

function labelsText (labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped (value: string): string {
  return value.replace(/[\\"\n]/g, character => character === '\n' ? '\\n' : `\\${character}`)
}
