import { AT, FINAL, HEADER_BYTES, NIL, ROLE, TYPE, VERSION, readId, writeId } from './wire.ts'
import type { Id } from './wire.ts'

/** Why nothing more can be read; the latter two only of what comes in messages: text, and bytes that are not one frame. */
export type FrameFault = 'version' | 'size' | 'text' | 'length'

/** A frame as it came: what the header says, and the bytes to hand on. */
export class Frame {
  readonly header: Buffer
  readonly fault: FrameFault | null
  /** Header and payload, unchanged, cut wherever the stream was cut. The header alone unless the payload is to be handed on. */
  readonly bytes: Buffer[] = []
  readonly type: number
  readonly flags: number
  readonly requestId: Id
  readonly clientId: Id
  readonly channelId: Id
  readonly payloadBytes: number

  constructor (header: Buffer, fault: FrameFault | null = null) {
    this.header = header
    this.fault = fault
    this.type = header.readUInt8(AT.type)
    this.flags = header.readUInt16BE(AT.flags)
    this.requestId = readId(header, AT.requestId)
    this.clientId = readId(header, AT.clientId)
    this.channelId = readId(header, AT.channelId)
    this.payloadBytes = header.readUInt32BE(AT.payloadBytes)
  }

  /** Place among the chunks of its direction, from 0. */
  get index (): number {
    return this.header.readUInt32BE(AT.sequence) & ~FINAL
  }

  get isFinal (): boolean {
    return this.header.readUInt32BE(AT.sequence) >= FINAL
  }

  /** Only these two carry data from one client to another; the payload of anything else is passed over. */
  get isData (): boolean {
    return this.type === TYPE.chunk && (this.flags === ROLE.request || this.flags === ROLE.response)
  }

  /** Beyond 2^53 inexact: it is cut to what a timer can do anyway. */
  get timeoutMs (): number {
    return this.header.readUInt32BE(AT.timeoutMs) * 2 ** 32 + this.header.readUInt32BE(AT.timeoutMs + 4)
  }
}

export interface FrameFields {
  type: number
  flags: number
  requestId: Id
  clientId: Id
  channelId: Id
  timeoutMs?: number
  /** Index of a chunk, with FINAL or without; FINAL alone for everything else. */
  sequence?: number
  payload?: Buffer
}

/** A frame of our own making. */
export function encodeFrame ({ type, flags, requestId, clientId, channelId, timeoutMs = 0, sequence = FINAL, payload }: FrameFields): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + (payload?.length ?? 0))
  bytes.writeUInt8(VERSION, AT.version)
  bytes.writeUInt8(type, AT.type)
  bytes.writeUInt16BE(flags, AT.flags)
  writeId(bytes, requestId, AT.requestId)
  writeId(bytes, clientId, AT.clientId)
  writeId(bytes, channelId, AT.channelId)
  bytes.writeBigUInt64BE(BigInt(timeoutMs), AT.timeoutMs)
  bytes.writeUInt32BE(sequence, AT.sequence)
  bytes.writeUInt32BE(payload?.length ?? 0, AT.payloadBytes)
  payload?.copy(bytes, HEADER_BYTES)
  return bytes
}

/** To whom an error frame goes and which operation has failed. */
export type Addressee = Pick<FrameFields, 'requestId' | 'clientId' | 'channelId'>

export function encodeError (to: Addressee, text: string): Buffer {
  return encodeFrame({ type: TYPE.error, flags: ROLE.response, ...to, payload: Buffer.from(text) })
}

/** For an operation or a client that nothing is known of. */
export const NOBODY: Addressee = { requestId: NIL, clientId: NIL, channelId: NIL }
