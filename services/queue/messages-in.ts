import type { Run } from '../poll/types.ts'

/** One message of a delivery: its place, its stored line, and how often it came before. */
export interface Delivered {
  position: number
  line: string
  /** Earlier deliveries that ended without an acknowledgement, and those of them that were reported as failed. */
  deliveries: number
  failures: number
}

const NEVER = { deliveries: 0, failures: 0 }

/** The messages of a run, without those that were acknowledged before. */
export function messagesIn (run: Run): Delivered[] {
  const { body } = run
  const skipped = run.skip === null ? null : parseRanges(run.skip)
  const attempts = run.attempts === null ? null : parseAttempts(run.attempts)
  const messages: Delivered[] = []
  for (let position = run.first, from = 0; from <= body.length; position++) {
    const next = body.indexOf('\n', from)
    const to = next === -1 ? body.length : next
    if (skipped === null || !isIn(skipped, position)) {
      const { deliveries, failures } = attempts?.get(position) ?? NEVER
      messages.push({ position, line: body.slice(from, to), deliveries, failures })
    }
    from = to + 1
  }
  return messages
}

export type Ranges = readonly (readonly [from: number, before: number])[]

/** Reads a PostgreSQL int8multirange such as `{[2,3),[7,9)}`; PostgreSQL always prints them half-open. */
export function parseRanges (text: string): Ranges {
  return [...text.matchAll(/\[(\d+),(\d+)\)/g)].map(([, from, before]) => [Number(from), Number(before)] as const)
}

/** Whether a position lies in one of the ranges. */
export function isIn (ranges: Ranges, position: number): boolean {
  return ranges.some(([from, before]) => position >= from && position < before)
}

function parseAttempts (text: string): Map<number, { deliveries: number, failures: number }> {
  return new Map(text.split(',').map(entry => {
    const [position, deliveries, failures] = entry.split(':').map(Number)
    return [position ?? 0, { deliveries: deliveries ?? 0, failures: failures ?? 0 }]
  }))
}
