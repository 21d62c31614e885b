import { NIL } from '../channels/wire.ts'
import type { Id } from '../channels/wire.ts'
import { ChannelError } from './channel-error.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/**
 * @param channel a UUID in its text form
 * @throws ChannelError CHANNEL_OPTION_INVALID
 */
export function channelIdOf (channel: string): Id {
  const id = UUID.test(channel) ? Buffer.from(channel.replaceAll('-', ''), 'hex').toString('latin1') : NIL
  if (id === NIL) throw new ChannelError('CHANNEL_OPTION_INVALID', { detail: 'channel: a UUID that is not nil is required', field: 'channel' })
  return id
}
