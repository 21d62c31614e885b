import { fieldError } from './field-error.ts'

/** ISO 8601 with a time zone or without (then UTC), within what PostgreSQL reads: its offsets end before 16 hours. */
export const ISO_TIME = /^(\d{4}-\d{2}-\d{2})([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)?)?$/

/** Whether the text is a time that PostgreSQL reads too: it has neither a 30th of February nor a year 0. */
export function isTime (text: string): boolean {
  const date = ISO_TIME.exec(text)?.[1]
  if (date === undefined || date.startsWith('0000')) return false
  const day = new Date(date)
  // A day that the month does not have either is no date at all or runs over into the next month.
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(date)
}

/** The text itself, a time as ISO 8601; throws a FieldError for any other text. */
export function checkTime (text: string, field: string): string {
  if (!isTime(text)) throw fieldError(field, 'type', 'must be an ISO 8601 time')
  return text
}
