import type { Schema } from './contract.ts'
import type { Example } from './examples.ts'
import type { Described } from './service.ts'

/** A request whose answer has this status; its body. Throws when it has another. */
export type Ask = (status: number, operationId: string, example?: Example) => Promise<any>

/** Notes of everything that is asked for which of its described fields were there: each, and of what may be null both that and something. */
export class Fields {
  /** The fields that the answers were described with, by their places. */
  readonly described = new Set<string>()
  readonly #seen = new Set<string>()

  /** What is described and was in no answer so far. */
  get unseen (): string[] {
    return [...this.described].filter(place => !this.#seen.has(place))
  }

  asking ({ call, operation }: Described): Ask {
    return async (status, operationId, example) => {
      const answer = await call(operationId, example)
      if (answer.status !== status) throw new Error(`${operationId} is answered ${answer.status}: ${answer.text}`)
      const schema = operation(operationId).responses[status]?.content?.['application/json']?.schema
      if (schema !== undefined && status < 300) this.#note(operationId, schema, answer.json)
      return answer.json
    }
  }

  #note (place: string, schema: Schema, value: unknown): void {
    describe(schema, place, this.described)
    see(schema, place, value, this.#seen)
  }
}

function describe (schema: Schema, place: string, into: Set<string>): void {
  if (mayBeNull(schema)) into.add(`${place}: null`).add(`${place}: something`)
  else into.add(place)
  for (const [part, inner] of partsOf(schema)) describe(inner, place + part, into)
}

function see (schema: Schema, place: string, value: unknown, into: Set<string>): void {
  if (!mayBeNull(schema)) into.add(place)
  else into.add(`${place}: ${value === null ? 'null' : 'something'}`)
  if (typeof value !== 'object' || value === null) return
  for (const [part, inner] of partsOf(schema)) {
    for (const one of valuesAt(value, part)) see(inner, place + part, one, into)
  }
}

/** The schemas within one, by how the place of a value is called: a field, whatever is in it, or (an alternative) itself. */
function partsOf ({ properties = {}, items, additionalProperties, oneOf = [] }: Schema): [part: string, schema: Schema][] {
  const parts: [string, Schema][] = Object.entries(properties as Record<string, Schema>).map(([name, inner]) => [`.${name}`, inner])
  for (const inner of [items, additionalProperties]) if (typeof inner === 'object') parts.push(['[]', inner])
  for (const inner of oneOf) parts.push(['', inner])
  return parts
}

function valuesAt (value: object, part: string): unknown[] {
  if (part === '') return [value]
  if (part === '[]') return Object.values(value)
  const name = part.slice(1)
  return Object.hasOwn(value, name) ? [(value as Record<string, unknown>)[name]] : []
}

function mayBeNull ({ type }: Schema): boolean {
  return Array.isArray(type) && type.includes('null')
}
