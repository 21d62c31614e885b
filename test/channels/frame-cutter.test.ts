import { randomBytes } from 'node:crypto'
import t from 'tap'
import { FrameCutter } from '../../services/channels-ws/frame-cutter.ts'
import { CHUNK, REQUEST, frame, id } from './raw-frames.ts'
import { seeded } from './seeded.ts'

t.test('frames are told apart however what is sent was cut', async t => {
  const random = seeded(3)
  const fields = { type: CHUNK, flags: REQUEST, request: id(), client: id(), channel: id() }
  for (const longest of [1, 7, 100, 3000]) {
    const frames = Array.from({ length: 200 }, () => frame({ ...fields, payload: randomBytes(random(3) === 0 ? 0 : random(500)) }))
    const stream = Buffer.concat(frames)
    const cutter = new FrameCutter()
    const found: Buffer[] = []
    let parts: Buffer[] = []
    for (let at = 0; at < stream.length;) {
      const piece = stream.subarray(at, at + 1 + random(longest))
      at += piece.length
      for (const { bytes, isLast } of cutter.cut(piece)) {
        parts.push(bytes)
        if (!isLast) continue
        found.push(Buffer.concat(parts))
        parts = []
      }
    }
    t.same(parts, [])
    t.ok(found.length === frames.length && found.every((bytes, place) => bytes.equals(frames[place] ?? Buffer.alloc(0))), `pieces of up to ${longest} bytes`)
  }
})

t.test('a frame within one piece is one part, and nothing is copied', async t => {
  const whole = frame({ type: CHUNK, flags: REQUEST, request: id(), client: id(), channel: id(), payload: randomBytes(1000) })
  const parts = new FrameCutter().cut(Buffer.concat([whole, whole, whole.subarray(0, 500)]))
  t.same(parts.map(({ bytes, isLast }) => [bytes.length, isLast]), [[1068, true], [1068, true], [500, false]])
  t.equal(new Set(parts.map(({ bytes }) => bytes.buffer)).size, 1)
})
