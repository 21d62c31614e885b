import t from 'tap'
import { FrameScanner } from '../../scripts/bench/frames.ts'
import { ROLE, TYPE } from '../../services/channels/wire.ts'
import { encodeFrame } from '../../services/channels/frame.ts'

const IDS = { requestId: 'r'.repeat(16), clientId: 'c'.repeat(16), channelId: 'h'.repeat(16) }

t.test('frames are told apart however the stream is cut', async t => {
  const payload = Buffer.from('0123456789'.repeat(20))
  const stream = Buffer.concat([
    encodeFrame({ type: TYPE.start, flags: ROLE.request, ...IDS }),
    encodeFrame({ type: TYPE.chunk, flags: ROLE.request, ...IDS, payload }),
    encodeFrame({ type: TYPE.end, flags: ROLE.response, ...IDS })
  ])
  for (const size of [1, 7, 68, 69, 100, stream.length]) {
    const frames: [number, number][] = []
    const read = Buffer.alloc(payload.length)
    const scanner = new FrameScanner(({ type, payloadBytes }) => { frames.push([type, payloadBytes]) }, (piece, offset) => { piece.copy(read, offset) })
    for (let at = 0; at < stream.length; at += size) scanner.take(stream.subarray(at, at + size))
    t.strictSame(frames, [[TYPE.start, 0], [TYPE.chunk, payload.length], [TYPE.end, 0]], `pieces of ${size}`)
    t.ok(read.equals(payload), `payload in pieces of ${size}`)
  }
})
