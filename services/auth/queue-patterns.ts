/** One pattern, split at its asterisks: what a name must begin with, hold in this order, and end with. */
interface Pattern { first: string, middle: readonly string[], last: string | null }

/**
 * Patterns of queue names, in which `*` stands for any characters, also none, and everything else for itself. A name is
 * gone through once for each pattern: every part is taken where it first occurs, which is never worse than later, so
 * nothing is tried again.
 */
export class QueuePatterns {
  readonly #patterns: readonly Pattern[]

  constructor (patterns: readonly string[]) {
    this.#patterns = patterns.map(pattern => {
      const [first = '', ...rest] = pattern.split('*')
      const last = rest.pop() ?? null
      return { first, middle: rest.filter(part => part !== ''), last }
    })
  }

  /** Whether one of the patterns fits the whole name. */
  fit (name: string): boolean {
    return this.#patterns.some(pattern => fits(pattern, name))
  }
}

function fits ({ first, middle, last }: Pattern, name: string): boolean {
  if (last === null) return name === first
  if (!name.startsWith(first)) return false
  let at = first.length
  for (const part of middle) {
    const found = name.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return name.length - last.length >= at && name.endsWith(last)
}
