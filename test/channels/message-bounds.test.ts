import t from 'tap'
import { MessageBounds } from '../../services/channels-ws/message-bounds.ts'
import { seeded } from './seeded.ts'

const MASK_BYTES = 4

/** A frame of the WebSocket protocol as a client sends it. */
function wsFrame (opcode: number, isFinal: boolean, length: number): Buffer {
  const lengthBytes = length < 126 ? Buffer.of(length) : length < 65_536 ? Buffer.of(126, length >> 8, length & 255) : Buffer.alloc(9)
  if (length >= 65_536) {
    lengthBytes[0] = 127
    lengthBytes.writeBigUInt64BE(BigInt(length), 1)
  }
  lengthBytes[0] = 0x80 | lengthBytes.readUInt8(0)
  return Buffer.concat([Buffer.of((isFinal ? 0x80 : 0) | opcode), lengthBytes, Buffer.alloc(MASK_BYTES + length, 0xff)])
}

t.test('it is known at every byte whether a message is under way', async t => {
  const random = seeded(5)
  const stream: Buffer[] = []
  /** Where no message is under way. */
  const ends = new Set<number>([0])
  let length = 0
  const add = (opcode: number, isFinal: boolean, size: number, isWithin: boolean): void => {
    const bytes = wsFrame(opcode, isFinal, size)
    stream.push(bytes)
    length += bytes.length
    if (!isWithin) ends.add(length)
    // A ping or pong of which a part has come is no message, whatever becomes of it.
    if (!isWithin && opcode >= 8) for (let at = length - bytes.length; at < length; at++) ends.add(at)
  }
  for (const size of [0, 1, 125, 126, 300, 65_535, 65_536, 70_000]) {
    add(2, true, size, false)
    add(9, true, size % 126, false)
    for (let fragment = 0; fragment < 3; fragment++) {
      add(fragment === 0 ? 2 : 0, false, size, true)
      add(10, true, size % 126, true)
    }
    add(0, true, size, false)
  }
  const bytes = Buffer.concat(stream)
  for (const longest of [1, 10, 1000, 100_000]) {
    const bounds = new MessageBounds()
    let wrong = 0
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + 1 + random(longest))
      at += piece.length
      bounds.push(piece)
      if (bounds.isInside === ends.has(at)) wrong++
    }
    t.same([wrong, bounds.isInside], [0, false], `pieces of up to ${longest} bytes`)
  }
})
