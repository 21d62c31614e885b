import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Frame, encodeError, encodeFrame } from '../../services/channels/frame.ts'
import { FrameReader } from '../../services/channels/frame-reader.ts'
import * as wire from '../../services/channels/wire.ts'
import { CHUNK, END, ERROR, FINAL, LIMIT, RECEIVE, REQUEST, RESPONSE, START, frame, id } from './raw-frames.ts'
import { seeded } from './seeded.ts'

const REQUEST_ID = '11111111222243338444555555555555'
const CLIENT_ID = 'aaaaaaaabbbb4ccc8dddeeeeeeeeeeee'
const CHANNEL_ID = '0123456789ab4def8123456789abcdef'
const ids = { requestId: latin1(REQUEST_ID), clientId: latin1(CLIENT_ID), channelId: latin1(CHANNEL_ID) }

function latin1 (hex: string): string {
  return Buffer.from(hex, 'hex').toString('latin1')
}

function readAll (reader: FrameReader): Frame[] {
  const frames: Frame[] = []
  for (let next = reader.next(); next !== null; next = reader.next()) frames.push(next)
  return frames
}

t.test('frames are laid out as the protocol says', t => {
  const vector = (begin: string, end: string): string => (begin + REQUEST_ID + CLIENT_ID + CHANNEL_ID + end).replaceAll(' ', '')
  const ours = (type: number, flags: number, sequence: number, payload = ''): string =>
    encodeFrame({ type, flags, ...ids, timeoutMs: 5000, sequence, payload: Buffer.from(payload) }).toString('hex')
  t.equal(ours(wire.TYPE.start, wire.ROLE.request, wire.FINAL), vector('01 04 0001', '0000000000001388 80000000 00000000'))
  t.equal(ours(wire.TYPE.chunk, wire.ROLE.request, 0, 'hello'), vector('01 05 0001', '0000000000001388 00000000 00000005 68656c6c6f'))
  t.equal(ours(wire.TYPE.chunk, wire.ROLE.request, wire.FINAL + 1), vector('01 05 0001', '0000000000001388 80000001 00000000'))
  t.equal(ours(wire.TYPE.end, wire.ROLE.response, wire.FINAL), vector('01 06 0008', '0000000000001388 80000000 00000000'))
  t.equal(encodeError(ids, 'timeout').toString('hex'), vector('01 03 0008', '0000000000000000 80000000 00000007 74696d656f7574'))
  t.equal(frame({ type: ERROR, flags: RESPONSE, request: REQUEST_ID, client: CLIENT_ID, channel: CHANNEL_ID, timeoutMs: 5000, payload: 'timeout' }).toString('hex'), vector('01 03 0008', '0000000000001388 80000000 00000007 74696d656f7574'))
  t.end()
})

t.test('every field is read back', t => {
  const reader = new FrameReader()
  reader.push(frame({ type: CHUNK, flags: RESPONSE, request: REQUEST_ID, client: CLIENT_ID, channel: CHANNEL_ID, timeoutMs: 2n ** 40n + 3n, sequence: FINAL + 77, payload: 'abc' }))
  const [read] = readAll(reader)
  t.match(read, { type: CHUNK, flags: RESPONSE, ...ids, timeoutMs: 2 ** 40 + 3, index: 77, isFinal: true, payloadBytes: 3, fault: null })
  t.end()
})

t.test('a stream is read the same however it is cut', t => {
  const random = seeded(1)
  const sizes = [0, 1, 67, 68, 69, 1000, 16_383, 16_384, 16_385, 70_000, 200_000]
  const written = Array.from({ length: 60 }, (_, n) => frame({
    type: [START, CHUNK, CHUNK, END][n % 4] ?? CHUNK,
    flags: [REQUEST, REQUEST, RESPONSE, RECEIVE][random(4)] ?? REQUEST,
    request: id(),
    client: id(),
    channel: id(),
    sequence: n,
    payload: n % 4 === 1 || n % 4 === 2 ? randomBytes(sizes[random(sizes.length)] ?? 0) : ''
  }))
  const stream = Buffer.concat(written)
  for (const largest of [1, 3, 67, 68, 69, 1000, 16_000, 65_536, stream.length]) {
    const reader = new FrameReader()
    const read: Frame[] = []
    for (let at = 0; at < stream.length;) {
      const length = largest === stream.length ? largest : 1 + random(largest)
      // As a socket does it: a buffer of its own each time.
      reader.push(Buffer.from(stream.subarray(at, at + length)))
      at += length
      if (random(3) > 0) read.push(...readAll(reader))
    }
    read.push(...readAll(reader))
    t.equal(read.length, written.length, `pieces of up to ${largest}`)
    t.notOk(reader.isInsideFrame)
    const isSame = read.every((one, n) => Buffer.concat(one.bytes).equals(one.isData ? written[n] ?? Buffer.alloc(0) : (written[n] ?? Buffer.alloc(0)).subarray(0, 68)))
    t.ok(isSame, 'what is to be handed on is what was written')
  }
  t.end()
})

t.test('a frame that comes byte by byte takes no more memory than its size', t => {
  const reader = new FrameReader()
  for (const byte of frame({ type: CHUNK, flags: REQUEST, request: id(), client: id(), channel: id(), payload: randomBytes(100_000) })) {
    if (reader.next() !== null) t.fail('too early')
    reader.push(Buffer.of(byte))
  }
  const [read] = readAll(reader)
  t.ok(read !== undefined && read.bytes.length <= 9, `${read?.bytes.length} pieces`)
  t.equal(read?.bytes.reduce((sum, piece) => sum + piece.buffer.byteLength, 0), 100_068)
  t.end()
})

t.test('large pieces are not copied', t => {
  const whole = frame({ type: CHUNK, flags: REQUEST, request: id(), client: id(), channel: id(), payload: randomBytes(200_000) })
  const parts = [whole.subarray(0, 70_000), whole.subarray(70_000, 140_000), whole.subarray(140_000)]
  const reader = new FrameReader()
  for (const part of parts) reader.push(part)
  t.ok(readAll(reader)[0]?.bytes.every(piece => piece.buffer === whole.buffer))
  reader.push(whole)
  t.equal(readAll(reader)[0]?.bytes[0]?.buffer, whole.buffer)
  t.end()
})

t.test('payload that nobody gets is passed over', t => {
  const reader = new FrameReader()
  const next = { request: id(), client: id(), channel: id() }
  reader.push(frame({ type: START, flags: REQUEST, ...next, payload: randomBytes(3000) }).subarray(0, 1000))
  const [start] = readAll(reader)
  t.match(start, { type: START, payloadBytes: 3000 }, 'told at once')
  t.ok(reader.isInsideFrame)
  reader.push(randomBytes(3068 - 1000))
  reader.push(frame({ type: END, flags: REQUEST, ...next }))
  t.match(readAll(reader), [{ type: END }])
  t.end()
})

t.test('a wrong version is told by the first byte, a payload too large by the header; nothing is read after it', t => {
  const wrong = new FrameReader()
  wrong.push(Buffer.of(2))
  t.match(readAll(wrong), [{ fault: 'version' }])
  wrong.push(frame({ type: START, flags: REQUEST, request: id(), client: id(), channel: id() }))
  t.same(readAll(wrong), [])
  for (const [bytes, isLegal] of [[LIMIT, true], [LIMIT + 1, false], [0xffff_ffff, false]] as const) {
    const reader = new FrameReader()
    reader.push(frame({ type: CHUNK, flags: REQUEST, request: REQUEST_ID, client: id(), channel: id(), announced: bytes }))
    if (isLegal) t.same(readAll(reader), [])
    else t.match(readAll(reader), [{ fault: 'size', requestId: ids.requestId }], String(bytes))
  }
  t.end()
})

t.test('something that is no frame comes in its turn, and is the last', t => {
  const reader = new FrameReader()
  const end = frame({ type: END, flags: REQUEST, request: id(), client: id(), channel: id() })
  reader.push(end)
  reader.break(new Frame(Buffer.alloc(68), 'text'))
  reader.push(end)
  reader.break(new Frame(Buffer.alloc(68), 'length'))
  t.match(readAll(reader), [{ type: END, fault: null }, { fault: 'text' }])
  reader.push(end)
  t.same(readAll(reader), [])
  t.end()
})
