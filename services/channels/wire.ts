/** The frame of the channel protocol: a header of 68 bytes, integers big-endian, and a payload. */

export const VERSION = 1
export const HEADER_BYTES = 68
/** Of one frame; a message is any number of them. */
export const MAX_PAYLOAD_BYTES = 1_048_576

export const TYPE = { error: 3, start: 4, chunk: 5, end: 6 } as const

/** What a frame's writer is in the exchange: exactly one of these is in the flags. */
export const ROLE = { request: 0x0001, receive: 0x0004, response: 0x0008 } as const

/** Where the fields are. */
export const AT = { version: 0, type: 1, flags: 2, requestId: 4, clientId: 20, channelId: 36, timeoutMs: 52, sequence: 60, payloadBytes: 64 } as const

/** Bit of the sequence that says: the last one of its direction. */
export const FINAL = 0x8000_0000

/** The 16 bytes of a UUID, a character each: a key that costs one small string. */
export type Id = string

const ID_BYTES = 16
export const NIL: Id = '\0'.repeat(ID_BYTES)

export function readId (bytes: Buffer, offset: number): Id {
  return bytes.toString('latin1', offset, offset + ID_BYTES)
}

/** The id as UUIDs are written. */
export function idText (id: Id): string {
  return Buffer.from(id, 'latin1').toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

export function writeId (bytes: Buffer, id: Id, offset: number): void {
  bytes.write(id, offset, ID_BYTES, 'latin1')
}
