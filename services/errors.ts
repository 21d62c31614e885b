/** What an error of the service means to a caller. */
export interface ErrorKind {
  /** HTTP status. */
  readonly status: number
  /** Whether the same request may be sent again without looking first. */
  readonly retryable: boolean
  /** Message; `%s` is replaced by the detail given where it is thrown. */
  readonly message: string
}

/**
 * Every error the service answers with, in one place. Codes are stable: callers compare by code, never by message.
 * A retryable push is safe to send again because of deduplication; an outcome that is unknown is never called a failure.
 */
export const ERRORS = {
  RGT_BODY_EMPTY: { status: 400, retryable: false, message: 'Empty request body' },
  RGT_BODY_NOT_JSON: { status: 400, retryable: false, message: 'Invalid JSON: %s' },
  RGT_BODY_NOT_UTF8: { status: 400, retryable: false, message: 'Request body is not valid UTF-8' },
  RGT_BODY_TOO_DEEP: { status: 400, retryable: false, message: 'Invalid JSON: %s' },
  RGT_BODY_TOO_LARGE: { status: 413, retryable: false, message: 'Request body is larger than %s bytes' },
  RGT_AUTH_REQUIRED: { status: 401, retryable: false, message: 'Authentication required' },
  RGT_TOKEN_INVALID: { status: 401, retryable: false, message: '%s' },
  RGT_TOKEN_EXPIRED: { status: 401, retryable: false, message: 'Token has expired' },
  RGT_FORBIDDEN: { status: 403, retryable: false, message: 'Insufficient permissions: %s' },
  RGT_QUEUE_FORBIDDEN: { status: 403, retryable: false, message: 'The caller is limited to other queues: %s' },
  RGT_KEYS_UNAVAILABLE: { status: 503, retryable: true, message: 'The keys that tokens are verified with cannot be fetched' },
  RGT_REQUEST_INVALID: { status: 400, retryable: false, message: '%s' },
  RGT_FIELD_INVALID: { status: 400, retryable: false, message: '%s' },
  RGT_UPGRADE_REQUIRED: { status: 426, retryable: false, message: 'This path is for WebSockets' },
  RGT_ORIGIN_REFUSED: { status: 403, retryable: false, message: 'Pages of other origins may not connect' },
  RGT_ROUTE_NOT_FOUND: { status: 404, retryable: false, message: 'Route not found' },
  RGT_QUEUE_UNKNOWN: { status: 404, retryable: false, message: 'Queue not found' },
  RGT_PARTITION_UNKNOWN: { status: 404, retryable: false, message: 'Partition not found' },
  RGT_MESSAGE_UNKNOWN: { status: 404, retryable: false, message: 'Message not found' },
  RGT_MESSAGE_ACKNOWLEDGED: { status: 409, retryable: false, message: 'Message already acknowledged' },
  RGT_DEAD_LETTER_UNKNOWN: { status: 404, retryable: false, message: 'Dead letter not found' },
  RGT_DEAD_LETTERS_OFF: { status: 409, retryable: false, message: 'Queue %s keeps no dead letters' },
  RGT_GROUP_UNKNOWN: { status: 404, retryable: false, message: 'Consumer group not found' },
  RGT_LEASE_UNKNOWN: { status: 404, retryable: false, message: 'Lease not found' },
  RGT_LEASE_EXPIRED: { status: 409, retryable: false, message: 'Lease already expired' },
  RGT_QUEUE_FULL: { status: 429, retryable: true, message: 'Queue %s is full; nothing was stored' },
  RGT_CHANNEL_TIMEOUT: { status: 504, retryable: false, message: 'The exchange was not over in time; a receiver may have acted on the request' },
  RGT_CHANNEL_FULL: { status: 503, retryable: true, message: 'Too many requests of the channel wait for a receiver; this one was given to none' },
  RGT_CHANNEL_RECEIVER_LEFT: { status: 502, retryable: false, message: 'The receiver has accepted the request and left before its reply was complete; it may have acted on it' },
  RGT_CHANNEL_REQUEST_UNKNOWN: { status: 404, retryable: false, message: 'No such request is held by a receiver over HTTP, or it is over' },
  RGT_CHANNEL_REPLY_UNDER_WAY: { status: 409, retryable: false, message: 'There is a reply to this request already' },
  RGT_CHANNEL_REQUEST_OVER: { status: 410, retryable: false, message: 'The sender does not wait for the reply any more' },
  RGT_NOT_AVAILABLE: { status: 501, retryable: false, message: '%s' },
  RGT_RATE_LIMITED: { status: 429, retryable: true, message: 'Too many requests by this client; nothing was done' },
  RGT_OVERLOADED: { status: 503, retryable: true, message: 'Too many requests are waiting; try again' },
  RGT_DATABASE_AWAY: { status: 503, retryable: true, message: 'The database cannot be reached; nothing was changed' },
  RGT_DATABASE_BUSY: { status: 503, retryable: true, message: 'No connection to the database became free in time; nothing was changed' },
  RGT_DATABASE_SLOW: { status: 503, retryable: true, message: 'The database did not answer in time; nothing was changed' },
  RGT_OUTCOME_UNKNOWN: { status: 503, retryable: true, message: 'The database stopped answering; the outcome is unknown' },
  RGT_QUEUE_DRAINING: { status: 503, retryable: true, message: 'Queue %s has messages in the file buffer that come first; nothing was changed' },
  RGT_PUSHES_HELD: { status: 503, retryable: true, message: 'Push maintenance is on and this process has no file buffer; nothing was stored' },
  RGT_BUFFER_FULL: { status: 503, retryable: true, message: 'The file buffer is full; nothing was stored' },
  RGT_BUFFER_UNAVAILABLE: { status: 503, retryable: true, message: 'The file buffer cannot be written or read now: %s' },
  RGT_BUFFER_RECORD_TOO_LARGE: { status: 413, retryable: false, message: 'A record of the file buffer may have at most %s bytes' },
  RGT_BUFFER_IN_USE: { status: 500, retryable: false, message: '%s' },
  RGT_BUFFER_UNUSABLE: { status: 500, retryable: false, message: 'The file buffer (FILE_BUFFER_DIR) cannot be opened: %s' },
  RGT_CHANNELS_FULL: { status: 503, retryable: true, message: 'There are as many channel connections as are allowed; try again' },
  RGT_SHUTTING_DOWN: { status: 503, retryable: true, message: 'The service is shutting down' },
  RGT_DATABASE_UNSUITABLE: { status: 500, retryable: false, message: '%s' },
  RGT_ENCRYPTION_KEY_MISSING: { status: 500, retryable: false, message: 'Queue %s encrypts its messages and this process has no key to do so; nothing was stored in clear text' },
  RGT_MESSAGE_UNREADABLE: { status: 500, retryable: false, message: 'Message %s' },
  RGT_OPTIONS_INVALID: { status: 500, retryable: false, message: '%s' },
  RGT_INTERNAL: { status: 500, retryable: false, message: 'Internal error' }
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorContext {
  /** Fills the message's `%s`. */
  detail?: string
  /** The request field at fault, as a path such as `items[3].queue`. */
  field?: string
  cause?: unknown
}

/** An error of the table above. */
export class RegentError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly retryable: boolean
  readonly field: string | undefined

  constructor (code: ErrorCode, context: ErrorContext = {}) {
    const kind: ErrorKind = ERRORS[code]
    super(kind.message.replace('%s', () => context.detail ?? ''), context.cause === undefined ? {} : { cause: context.cause })
    this.name = 'RegentError'
    this.code = code
    this.status = kind.status
    this.retryable = kind.retryable
    this.field = context.field
  }
}

/** Whether a caught value is one of ours with this code. Compares by code, so it also holds across copies of the package. */
export function hasCode (error: unknown, code: ErrorCode): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
