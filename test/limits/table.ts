// The table of docs/limits.md, and whether an answer is what it says.
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { ERRORS } from '../../services/errors.ts'
import type { ErrorCode } from '../../services/errors.ts'
import { packageRoot } from '../../services/package-root.ts'

export interface Limit {
  what: string
  /** Null: it has none. */
  option: string | null
  variable: string | null
  default: string
  beyond: string
}

const ROW = /^\| ([^|*]+) \| (?:`(\w+)`|fixed) \|(?: `(\w+)`)? \| ([^|]+) \| ([^|]+) \|$/gm

/** Every bound that is written down. */
export function readTable (): Limit[] {
  const text = readFileSync(new URL('docs/limits.md', packageRoot()), 'utf8')
  return [...text.matchAll(ROW)].map(([, what = '', option, variable, byDefault = '', beyond = '']) =>
    ({ what, option: option ?? null, variable: variable ?? null, default: byDefault, beyond }))
}

export interface Refusal { status: number, code: string, hasRetryAfter: boolean }

/** The answers that are named for what goes beyond a bound. */
export function refusalsOf ({ beyond }: Limit): Refusal[] {
  return [...beyond.matchAll(/(\d{3}) `(RGT_\w+)`(, `Retry-After`)?/g)].map(([, status, code = '', retryAfter]) =>
    ({ status: Number(status), code, hasRetryAfter: retryAfter !== undefined }))
}

/** Asserts that an answer is the one that the table names first for a bound, by its option or in its words. */
export function isRefused (t: Test, bound: string, answer: { status: number, json: any, headers: { get: (name: string) => string | null | undefined } }, message = bound): void {
  const limit = readTable().find(({ what, option }) => option === bound || what === bound)
  const [refusal] = limit === undefined ? [] : refusalsOf(limit)
  if (refusal === undefined) throw new Error(`docs/limits.md does not say what is answered beyond ${bound}`)
  const { status, code, hasRetryAfter } = refusal
  t.match(answer, { status, json: { success: false, code, error: String } }, message)
  t.match(answer.headers.get('retry-after') ?? 'none', hasRetryAfter ? /^[1-9]\d*$/ : /^none$/, message)
  if (ERRORS[code as ErrorCode].status === status) t.equal(answer.json.retryable, ERRORS[code as ErrorCode].retryable, message) // code is of the table, by its test
}
