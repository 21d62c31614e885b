import { randomBytes } from 'node:crypto'

/** The frames of the protocol, written down a second time, by byte offsets alone. */
export const [ERROR, START, CHUNK, END] = [3, 4, 5, 6] as const
export const [REQUEST, RECEIVE, RESPONSE] = [0x0001, 0x0004, 0x0008] as const
export const FINAL = 0x8000_0000
export const LIMIT = 1_048_576
const HEADER = 68
// Longer than tests wait: an error that should have come at once is not mistaken for that of the timeout.
export const LONG_MS = 60_000

export type Hex = string

/** 16 random bytes as hex digits. */
export function id (): Hex {
  return randomBytes(16).toString('hex')
}

export interface Fields {
  version?: number
  type: number
  flags: number
  request: Hex
  client: Hex
  channel: Hex
  timeoutMs?: number | bigint
  sequence?: number
  payload?: Buffer | string
  /** What the header announces, when it is not the payload's length. */
  announced?: number
}

export function frame ({ version = 1, type, flags, request, client, channel, timeoutMs = LONG_MS, sequence = FINAL, payload = '', announced }: Fields): Buffer {
  const body = Buffer.from(payload as string) // a text or bytes: the same function takes both
  const header = Buffer.alloc(HEADER)
  header[0] = version
  header[1] = type
  header.writeUInt16BE(flags, 2)
  header.write(request + client + channel, 4, 'hex')
  header.writeBigUInt64BE(BigInt(timeoutMs), 52)
  header.writeUInt32BE(sequence >>> 0, 60)
  header.writeUInt32BE(announced ?? body.length, 64)
  return Buffer.concat([header, body])
}

export interface Received {
  type: number
  flags: number
  request: Hex
  client: Hex
  channel: Hex
  index: number
  isFinal: boolean
  payload: Buffer
  /** All of it, as it came. */
  bytes: Buffer
}

/** Whole frames at the beginning of some bytes, and the bytes left over. */
export function decode (bytes: Buffer): { frames: Received[], rest: Buffer } {
  const frames: Received[] = []
  let at = 0
  while (bytes.length - at >= HEADER && bytes.length - at >= HEADER + bytes.readUInt32BE(at + 64)) {
    const whole = bytes.subarray(at, at + HEADER + bytes.readUInt32BE(at + 64))
    if (whole[0] !== 1) throw new Error(`version ${whole[0]} in the stream`)
    const sequence = whole.readUInt32BE(60)
    frames.push({
      type: whole.readUInt8(1),
      flags: whole.readUInt16BE(2),
      request: whole.toString('hex', 4, 20),
      client: whole.toString('hex', 20, 36),
      channel: whole.toString('hex', 36, 52),
      index: sequence & 0x7fff_ffff,
      isFinal: sequence >= FINAL,
      payload: whole.subarray(HEADER),
      bytes: whole
    })
    at += whole.length
  }
  return { frames, rest: bytes.subarray(at) }
}

/** For a title of its own in a failed comparison. */
export function text ({ type, flags, index, isFinal, payload }: Received): string {
  const name = { 3: 'error', 4: 'start', 5: 'chunk', 6: 'end' }[type] ?? `type ${type}`
  const role = { 1: 'request', 4: 'receive', 8: 'response' }[flags] ?? `flags ${flags}`
  const body = payload.length > 40 ? `${payload.length} bytes` : JSON.stringify(payload.toString())
  return type === CHUNK ? `chunk|${role} ${index}${isFinal ? ' final' : ''} ${body}` : type === ERROR ? 'error' : `${name}|${role}`
}
