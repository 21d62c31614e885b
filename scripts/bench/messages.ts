import { postHead } from './http-connection.ts'

const PAYLOAD_BYTES = 250
// Enough different payloads that a compressor finds no repeats that a real queue would not have.
const PAYLOADS = 2048
const ID_LENGTH = 36
const PARTITION_DIGITS = 5
// Different requests of one producer.
const MOST_REQUESTS = 32
// Odd, so that multiplying by it can be undone; the second undoes the first modulo 2^32.
const SCATTER = 0x9e3779b1
const GATHER = 0x0e8b2f51
const HEX_PAIRS = Array.from({ length: 256 }, (_, byte) => Buffer.from(byte.toString(16).padStart(2, '0')))
// Where the 16 bytes of a UUID stand in its text.
const PAIR_OFFSETS = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]

/** A random-looking UUID that holds a number: what real clients send, and it can be checked off on arrival. */
export function writeId (target: Buffer, offset: number, number: number): void {
  const words = [Math.imul(number, SCATTER), scramble(number + 0x51ed270b), scramble(number + 0x2545f491), scramble(number + 0x6c078965)]
  for (const [i, pairOffset] of PAIR_OFFSETS.entries()) {
    const byte = ((words[i >> 2] ?? 0) >>> (24 - 8 * (i & 3))) & 0xff
    // Version 4 and its variant.
    const pair = HEX_PAIRS[i === 6 ? 0x40 | (byte & 0x0f) : i === 8 ? 0x80 | (byte & 0x3f) : byte]
    if (pair === undefined) continue
    target[offset + pairOffset] = pair[0] ?? 0
    target[offset + pairOffset + 1] = pair[1] ?? 0
  }
}

export function idText (number: number): string {
  const text = Buffer.alloc(ID_LENGTH, '-')
  writeId(text, 0, number)
  return text.toString('latin1')
}

/** The number in an id. */
export function numberIn (id: string): number {
  return Math.imul(Number.parseInt(id.slice(0, 8), 16), GATHER) >>> 0
}

function scramble (value: number): number {
  let x = value | 0
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

/** Payloads of exactly 250 bytes that look like business events: the same ever-repeating keys, differing values. */
export function makePayloads (): string[] {
  const words = ['north', 'invoice', 'parcel', 'harbour', 'weekend', 'garden', 'signal', 'copper', 'meadow', 'ticket', 'lantern', 'orbit']
  return Array.from({ length: PAYLOADS }, (_, i) => {
    const value = (salt: number, below: number): number => (scramble(i * 31 + salt) >>> 0) % below
    const word = (salt: number): string => words[value(salt, words.length)] ?? ''
    const event = {
      orderId: `ord_${value(1, 2 ** 31).toString(36)}${value(2, 2 ** 31).toString(36)}`,
      customer: { id: value(3, 900_000), name: `${word(4)} ${word(5)}`, email: `${word(6)}${value(7, 9999)}@example.com` },
      amount: value(8, 1_000_000) / 100,
      currency: ['EUR', 'USD', 'GBP'][value(9, 3)],
      placedAt: new Date(1_700_000_000_000 + value(10, 2 ** 31)).toISOString(),
      note: ''
    }
    let n = 20
    while (JSON.stringify(event).length < PAYLOAD_BYTES) {
      const missing = PAYLOAD_BYTES - JSON.stringify(event).length
      event.note += `${word(n)}${value(n + 1, 999)} `.slice(0, missing)
      n += 2
    }
    return JSON.stringify(event)
  })
}

/** Whole requests of one producer, for one request after the other. */
export interface PushRequestOptions {
  url: string
  queue: string
  batch: number
  /** Where in the stock of payloads this producer begins: several are not to send the same ones at the same time. */
  offset: number
}

/**
 * Push requests whose bytes are made once and changed in place before each use: the partition, and the transaction id of
 * every item. One belongs to one connection, which has one request on its way at a time.
 */
export class PushRequests {
  readonly #requests: { bytes: Buffer, partitions: number[], ids: number[] }[] = []
  #next = 0

  constructor ({ url, queue, batch, offset }: PushRequestOptions) {
    const payloads = makePayloads()
    const { host } = new URL(url)
    const partition = '0'.repeat(PARTITION_DIGITS)
    const id = '-'.repeat(ID_LENGTH)
    const count = Math.max(1, Math.min(MOST_REQUESTS, Math.floor(payloads.length / batch)))
    for (let n = 0; n < count; n++) {
      const items = Array.from({ length: batch }, (_, i) =>
        `{"queue":${JSON.stringify(queue)},"partition":"p${partition}","transactionId":"${id}","payload":${payloads[(offset + n * batch + i) % payloads.length]}}`)
      const body = `{"items":[${items.join(',')}]}`
      const bytes = Buffer.from(postHead(host, '/api/v1/push', body.length) + body, 'latin1')
      this.#requests.push({ bytes, partitions: offsetsOf(bytes, `"partition":"p${partition}`, 14), ids: offsetsOf(bytes, `"transactionId":"${id}`, 17) })
    }
  }

  /** A request for one partition, with ids that hold the numbers from `first` on. */
  next (partition: number, first: number): Buffer {
    const request = this.#requests[this.#next++ % this.#requests.length]
    if (request === undefined) throw new Error('a producer without requests')
    const digits = String(partition).padStart(PARTITION_DIGITS, '0')
    for (const offset of request.partitions) request.bytes.write(digits, offset, 'latin1')
    for (const [i, offset] of request.ids.entries()) writeId(request.bytes, offset, first + i)
    return request.bytes
  }
}

function offsetsOf (bytes: Buffer, text: string, into: number): number[] {
  const offsets: number[] = []
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + 1)) offsets.push(at + into)
  return offsets
}
