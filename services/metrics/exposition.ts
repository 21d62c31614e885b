import type { HistogramFigures } from './histogram.ts'

export type Labels = Readonly<Record<string, string | number>>
export type Samples = readonly (readonly [labels: Labels, value: number])[]
export type HistogramSamples = readonly (readonly [labels: Labels, figures: HistogramFigures])[]

/** Metrics in the Prometheus text format, version 0.0.4: each family with its help and type, then all of its samples. */
export class Exposition {
  #text = ''

  /** Add a family; without samples it is left out. Names are ours, label values may be anything. */
  add (name: string, type: 'counter' | 'gauge', help: string, samples: Samples): void {
    if (samples.length === 0) return
    this.#begin(name, type, help)
    for (const [labels, value] of samples) this.#text += `${name}${labelsText(labels)} ${value}\n`
  }

  /** Add a family of histograms. Its buckets are cumulative: each counts what is at or below its bound `le`. */
  addHistogram (name: string, help: string, samples: HistogramSamples): void {
    if (samples.length === 0) return
    this.#begin(name, 'histogram', help)
    for (const [labels, { bounds, counts, sum }] of samples) {
      let count = 0
      for (const [i, inBucket] of counts.entries()) {
        count += inBucket
        this.#text += `${name}_bucket${labelsText({ ...labels, le: bounds[i] ?? '+Inf' })} ${count}\n`
      }
      const text = labelsText(labels)
      this.#text += `${name}_sum${text} ${sum}\n${name}_count${text} ${count}\n`
    }
  }

  toString (): string {
    return this.#text
  }

  #begin (name: string, type: string, help: string): void {
    this.#text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
  }
}

function labelsText (labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped (value: string): string {
  return value.replace(/[\\"\n]/g, character => character === '\n' ? '\\n' : `\\${character}`)
}
