import type { FastifyRequest } from 'fastify'
import { firstText } from '../services/http/query-text.ts'
import { checkName } from '../services/json/names.ts'
import { checkTime } from '../services/json/time.ts'

export const INT_MIN = -2_147_483_648
export const INT_MAX = 2_147_483_647

/** Most entries of a list, whatever is asked for. */
export const MOST_ENTRIES = 1000

/** A whole number in a query: what counts when there is none, and the bounds that what is beyond them is taken for. */
export interface Whole { readonly default: number, readonly min: number, readonly max: number }

/** The part of a list that may be asked for, with so many entries when nothing is said. */
export function pageNumbers (defaultLimit: number, most: number): Record<'limit' | 'offset', Whole> {
  return { limit: { default: defaultLimit, min: 1, max: most }, offset: { default: 0, min: 0, max: INT_MAX } }
}

/**
 * Query parameters as clients of this API rely on them: the first of several counts, an empty value counts as absent,
 * and what cannot be read falls back to the default.
 */
export class Query {
  readonly #values: Record<string, unknown>

  constructor (request: FastifyRequest) {
    this.#values = request.query as Record<string, unknown>
  }

  text (name: string): string | null {
    return firstText(this.#values[name])
  }

  /** The leading integer of the value, within 32 bits. */
  integer (name: string, fallback: number): number {
    const digits = /^\s*([+-]?\d+)/.exec(this.text(name) ?? '')?.[1]
    const value = Number(digits)
    return digits === undefined || value < INT_MIN || value > INT_MAX ? fallback : value
  }

  /** As `integer`, within bounds: what is beyond counts as the nearest of them. */
  within (name: string, { default: fallback, min, max }: Whole): number {
    return Math.min(Math.max(this.integer(name, fallback), min), max)
  }

  /** True for `true` and `1`. */
  flag (name: string): boolean {
    const text = this.text(name)
    return text === 'true' || text === '1'
  }

  /** A name, such as a queue's; throws a FieldError for what cannot be one. */
  name (name: string): string | null {
    const text = this.text(name)
    if (text !== null) checkName(text, name)
    return text
  }

  /** A time as ISO 8601 text; throws a FieldError for anything else. */
  time (name: string): string | null {
    const text = this.text(name)
    return text === null ? null : checkTime(text, name)
  }

  /** Which part of a list is wanted: at most `most` entries. */
  page (defaultLimit: number, most = MOST_ENTRIES): { limit: number, offset: number } {
    const { limit, offset } = pageNumbers(defaultLimit, most)
    return { limit: this.within('limit', limit), offset: this.within('offset', offset) }
  }
}
