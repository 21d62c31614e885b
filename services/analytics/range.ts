import { fieldError } from '../json/field-error.ts'

/** A stretch of time to report on, and how wide the buckets of its series are. */
export interface TimeRange {
  /** ISO 8601 in UTC, with milliseconds. */
  from: string
  to: string
  bucketMinutes: number
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** Longest range for each width in minutes; beyond the last, six hours. */
const WIDTHS = [[HOUR_MS, 1], [6 * HOUR_MS, 5], [DAY_MS, 15], [7 * DAY_MS, 60]] as const
const WIDEST = 360
// What PostgreSQL and ISO 8601 write alike.
const FIRST_MS = Date.parse('0001-01-02T00:00:00Z')
const LAST_MS = Date.parse('9999-12-30T00:00:00Z')

/**
 * The range that a caller asks for by times as services/json/time.ts accepts them; what is left out is now, and so much
 * before the end. Throws a FieldError when it ends before it begins.
 */
export function timeRange (from: string | null, to: string | null, defaultMs = HOUR_MS, now = Date.now()): TimeRange {
  const toMs = to === null ? now : timeOf(to)
  const fromMs = from === null ? toMs - defaultMs : timeOf(from)
  if (fromMs > toMs) throw fieldError('from', 'range', 'must not be after to')
  const bucketMinutes = WIDTHS.find(([longest]) => toMs - fromMs <= longest)?.[1] ?? WIDEST
  const iso = (ms: number): string => new Date(Math.min(Math.max(ms, FIRST_MS), LAST_MS)).toISOString()
  return { from: iso(fromMs), to: iso(toMs), bucketMinutes }
}

/** How the range is shown. */
export function shownRange ({ from, to }: TimeRange): { from: string, to: string } {
  return { from, to }
}

/** Milliseconds since 1970 of a time. A time without a zone is UTC; JavaScript would take it for local. */
function timeOf (text: string): number {
  const [, date = '', time = '', zone = ''] = /^(.{10})(?:[T ](.{5,18}?))?(Z|[+-]\d\d(?::?\d\d)?)?$/.exec(text) ?? []
  if (time === '') return Date.parse(date)
  const offset = zone === '' || zone === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.length > 3 ? zone.slice(-2) : '00'}`
  return Date.parse(`${date}T${time}${offset}`)
}
