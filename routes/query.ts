import type { FastifyRequest } from 'fastify'
import { firstText } from '../services/http/query-text.ts'
import { checkName } from '../services/json/names.ts'
import { checkTime } from '../services/json/time.ts'

const INT_MIN = -2_147_483_648
const INT_MAX = 2_147_483_647

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
  page (defaultLimit: number, most = 1000): { limit: number, offset: number } {
    return {
      limit: Math.min(Math.max(this.integer('limit', defaultLimit), 1), most),
      offset: Math.max(this.integer('offset', 0), 0)
    }
  }
}
