/** Every error of the client, in one place. Codes are stable: compare by code, never by message. */
export const CHANNEL_ERRORS = {
  CHANNEL_OPTION_INVALID: '%s',
  CHANNEL_BODY_INVALID: 'A message is text or bytes, or yields such: %s',
  CHANNEL_BODY_FAILED: 'What was to be sent could not be read: %s',
  CHANNEL_TIMEOUT: 'The exchange was not over in time',
  CHANNEL_ABORTED: 'Given up by the caller',
  CHANNEL_CLOSED: 'The channel client is closed',
  CHANNEL_NOT_CONNECTED: 'The server cannot be reached: %s',
  CHANNEL_CONNECTION_LOST: 'The connection was lost; the outcome is unknown',
  CHANNEL_QUEUE_FULL: 'Too many requests of the channel wait for a receiver',
  CHANNEL_TOO_MANY_OPERATIONS: 'Too many operations on one connection',
  CHANNEL_RECEIVER_DISCONNECTED: 'The receiver has left after it had accepted the request; the outcome is unknown',
  CHANNEL_RECEIVER_FAILED: 'The receiver has given up before its reply was complete',
  CHANNEL_SENDER_DISCONNECTED: 'The sender has left',
  CHANNEL_SENDER_ABORTED: 'The sender has given up',
  CHANNEL_SLOW_READER: 'What has come was not read for too long',
  CHANNEL_SERVER_STOPPING: 'The server is stopping',
  CHANNEL_INVALID_FRAME: 'A frame that the protocol does not allow here: %s',
  CHANNEL_REFUSED: 'Refused by the server: %s'
} as const

export type ChannelErrorCode = keyof typeof CHANNEL_ERRORS

export interface ChannelErrorContext {
  /** Fills the message's `%s`. */
  detail?: string
  /** The option at fault. */
  field?: string
  cause?: unknown
}

/** Why a request was not answered in full, or could not be served. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError'
  readonly code: ChannelErrorCode
  declare readonly field?: string

  constructor (code: ChannelErrorCode, { detail = '', field, cause }: ChannelErrorContext = {}) {
    super(CHANNEL_ERRORS[code].replace('%s', () => detail), cause === undefined ? {} : { cause })
    this.code = code
    if (field !== undefined) this.field = field
  }
}

// The texts of the server's error frames; docs/channels.md lists them.
const BY_TEXT: Readonly<Record<string, ChannelErrorCode>> = {
  timeout: 'CHANNEL_TIMEOUT',
  'queue full': 'CHANNEL_QUEUE_FULL',
  'too many operations': 'CHANNEL_TOO_MANY_OPERATIONS',
  'receiver disconnected': 'CHANNEL_RECEIVER_DISCONNECTED',
  'sender disconnected': 'CHANNEL_SENDER_DISCONNECTED',
  'server is stopping': 'CHANNEL_SERVER_STOPPING'
}
// How either side says that it gives up: with a frame out of order, for want of one that says so.
const EARLY_END = 'invalid frame: end before the exchange is over'
const WRONG_CHUNK = 'invalid frame: chunk out of order'

/** @param role what this side is in the exchange that an error frame has ended */
export function errorOfText (text: string, role: 'sender' | 'receiver'): ChannelError {
  const code = BY_TEXT[text]
  if (code !== undefined) return new ChannelError(code)
  if (role === 'sender' && text === EARLY_END) return new ChannelError('CHANNEL_RECEIVER_FAILED')
  if (role === 'receiver' && text === WRONG_CHUNK) return new ChannelError('CHANNEL_SENDER_ABORTED')
  return new ChannelError(text.startsWith('invalid frame') ? 'CHANNEL_INVALID_FRAME' : 'CHANNEL_REFUSED', { detail: text })
}
