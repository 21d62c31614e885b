/** A sampled figure over some samples. */
export interface Figure { sum: number, min: number, max: number, last: number }

export type Sample = Readonly<Record<string, number>>

/** Sampled figures of a process over a stretch of time, by name. */
export class Figures {
  samples = 0
  readonly byName = new Map<string, Figure>()

  /** Take one sample in; every sample names the same figures. */
  take (sample: Sample): void {
    this.samples++
    for (const [name, value] of Object.entries(sample)) this.#merge(name, { sum: value, min: value, max: value, last: value })
  }

  /** Take in what was sampled later. */
  add (later: Figures): void {
    this.samples += later.samples
    for (const [name, figure] of later.byName) this.#merge(name, figure)
  }

  #merge (name: string, { sum, min, max, last }: Figure): void {
    const known = this.byName.get(name)
    if (known === undefined) {
      this.byName.set(name, { sum, min, max, last })
      return
    }
    known.sum += sum
    known.min = Math.min(known.min, min)
    known.max = Math.max(known.max, max)
    known.last = last
  }
}
