import type { Client } from './client.ts'
import type { Frame, FrameFault } from './frame.ts'
import type { Closing } from './transport.ts'
import { NIL, ROLE, TYPE } from './wire.ts'

export interface Refusal {
  text: string
  /** Why the connection is closed after it; null: it stays. */
  closing: Closing | null
}

const FAULTS: Readonly<Record<FrameFault, Refusal>> = {
  version: { text: 'unsupported version', closing: 'invalid' },
  size: { text: 'payload too large', closing: 'too large' },
  text: { text: 'invalid message: text', closing: 'no frame' },
  length: { text: 'invalid message: not one frame', closing: 'invalid' }
}

const TYPES: ReadonlySet<number> = new Set([TYPE.start, TYPE.chunk, TYPE.end])
const ROLES: ReadonlySet<number> = new Set(Object.values(ROLE))

/** What is wrong with a frame whatever operation it is of. The first frame says who its writer is; the others are held to it. */
export function refusalOf (frame: Frame, client: Client | null): Refusal | null {
  if (frame.fault !== null) return FAULTS[frame.fault]
  const text = formFault(frame) ?? (client === null ? introductionFault(frame) : identityFault(frame, client))
  return text === null ? null : { text, closing: client === null ? 'invalid' : null }
}

function formFault ({ type, flags }: Frame): string | null {
  if (!TYPES.has(type)) return 'invalid frame: type'
  return ROLES.has(flags) ? null : 'invalid frame: flags'
}

function introductionFault ({ flags, requestId, clientId, channelId }: Frame): string | null {
  // A response names the client it is for: whoever began with one would be taken for that.
  if (flags === ROLE.response) return 'invalid frame: a response to nothing'
  return [requestId, clientId, channelId].includes(NIL) ? 'invalid frame: nil id' : null
}

function identityFault ({ flags, clientId, channelId }: Frame, client: Client): string | null {
  if (channelId !== client.channel.id) return 'invalid frame: another channel'
  return flags === ROLE.response || clientId === client.id ? null : 'invalid frame: another client id'
}

/** Only chunks carry data: what is queued stays small. */
export function hasStrayPayload ({ type, payloadBytes }: Frame): boolean {
  return type !== TYPE.chunk && payloadBytes > 0
}

export const STRAY_PAYLOAD = 'invalid frame: payload'
