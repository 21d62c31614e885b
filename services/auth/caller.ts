import { nameFault } from '../json/names.ts'
import type { NeededAccess } from './access.ts'
import { QueuePatterns } from './queue-patterns.ts'

/** Who has sent a request, as far as routes have to know. */
export interface Caller {
  /** Whom the messages that it pushes come from; null: nobody in particular. */
  readonly subject: string | null
  /** The queues it is limited to; null: all of them. */
  readonly queues: QueuePatterns | null
}

/** What an application that embeds the service knows of a caller it lets in. */
export interface Authorization {
  /** Becomes the `producerSub` of messages that are pushed; at most 255 characters. */
  subject?: string | null
  /** Patterns of the names of the queues that the caller is limited to, `*` standing for any characters; all unless given. */
  queues?: readonly string[] | null
}

/**
 * An embedding application's own decision about a request that needs `access`. Anything but an Authorization refuses it
 * with 403; to refuse it with 401, throw an error whose `statusCode` is that.
 */
export type Authorize<Request> = (request: Request, access: NeededAccess) =>
  Authorization | null | undefined | false | Promise<Authorization | null | undefined | false>

export const MOST_PATTERNS = 100

/**
 * Patterns from outside. Throws a TypeError for what are none, so that a mistake never means all queues.
 * @param what names them in the message
 */
export function readPatterns (value: unknown, what: string): QueuePatterns {
  if (!Array.isArray(value) || value.length > MOST_PATTERNS || !value.every(isPattern)) {
    throw new TypeError(`${what} must be at most ${MOST_PATTERNS} texts of 1 to 255 characters`)
  }
  return new QueuePatterns(value)
}

/** A subject from outside; null when there is none. Throws a TypeError for what cannot be stored with a message. */
export function readSubject (value: unknown, what: string): string | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'string' || nameFault(value) !== null) throw new TypeError(`${what} must be a text of 1 to 255 characters`)
  return value
}

function isPattern (value: unknown): value is string {
  return typeof value === 'string' && nameFault(value) === null
}
