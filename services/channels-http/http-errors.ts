import type { ChannelError } from '../client/channel-error.ts'
import { RegentError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'

/**
 * What a sender is answered. A request that a receiver has accepted may have been acted on, whatever ended it: that is never
 * said to be repeatable.
 */
export function requestError (error: ChannelError, isAccepted: boolean): RegentError {
  return new RegentError(requestCode(error, isAccepted), { cause: error })
}

function requestCode ({ code }: ChannelError, isAccepted: boolean): ErrorCode {
  if (code === 'CHANNEL_TIMEOUT') return 'RGT_CHANNEL_TIMEOUT'
  if (isAccepted) return 'RGT_CHANNEL_RECEIVER_LEFT'
  return code === 'CHANNEL_QUEUE_FULL' ? 'RGT_CHANNEL_FULL' : 'RGT_SHUTTING_DOWN'
}

/** What a receiver is answered whose reply could not be sent to its end. */
export function replyError (error: ChannelError): RegentError {
  return new RegentError(error.code === 'CHANNEL_TIMEOUT' ? 'RGT_CHANNEL_TIMEOUT' : 'RGT_CHANNEL_REQUEST_OVER', { cause: error })
}
