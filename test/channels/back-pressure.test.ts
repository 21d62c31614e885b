import { randomBytes } from 'node:crypto'
import t from 'tap'
import { until } from '../support.ts'
import { FakeClock } from './fake-clock.ts'
import type { RawClient } from './raw-client.ts'
import { CHUNK, END, LIMIT, LONG_MS, RECEIVE, REQUEST, RESPONSE, START, id } from './raw-frames.ts'
import type { Hex } from './raw-frames.ts'
import { accepted, startChannels, works } from './support.ts'

const MIB = 1024 * 1024
const PAYLOAD = randomBytes(LIMIT)

/**
 * Chunks one after the other, as fast as they are taken; one and the same payload in memory.
 * @returns how many bytes were taken
 */
function pour (writer: RawClient, flags: number, request: Hex, chunks: number, sender: RawClient): () => number {
  let taken = 0
  const next = (sequence: number): void => {
    if (sequence === chunks || writer.socket.destroyed) return
    writer.socket.cork()
    writer.write(writer.bytes({ type: CHUNK, flags, request, client: sender.id, sequence, announced: LIMIT }))
    writer.socket.write(PAYLOAD, () => {
      taken += LIMIT
      next(sequence + 1)
    })
    writer.socket.uncork()
  }
  next(0)
  return () => taken
}

/** Comes back when no more is taken. */
async function atRest (taken: () => number): Promise<number> {
  let last = -1
  let since = 0
  await until(() => {
    if (taken() !== last) [last, since] = [taken(), performance.now()]
    return performance.now() - since > 1000
  }, 30_000)
  return last
}

t.test('a receiver that stops reading holds up its sender in bounded memory, and nobody else', async t => {
  const { join, broker } = await startChannels(t, { stallMs: 60_000 })
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  receiver.socket.pause()
  const before = process.memoryUsage().arrayBuffers
  const taken = await atRest(pour(sender, REQUEST, request, 64, sender))
  t.ok(taken > 8 * MIB && taken < 40 * MIB, `${taken} bytes taken, the system's buffers included`)
  t.ok(broker.figures().pendingBytes <= 9 * MIB + 68 * 9, `${broker.figures().pendingBytes} bytes wait`)
  const held = process.memoryUsage().arrayBuffers - before
  t.ok(held < 24 * MIB, `${held} bytes more in memory`)

  await works(t, await join(), await join())
  const elsewhere = id()
  await works(t, await join(elsewhere), await join(elsewhere))

  receiver.socket.resume()
  for (let sequence = 0; sequence < 64; sequence++) {
    const chunk = await receiver.next()
    if (chunk.index !== sequence || !chunk.payload.equals(PAYLOAD)) t.fail(`chunk ${sequence} is not as it was`)
  }
  sender.send(CHUNK, REQUEST, request, { sequence: 64 })
  t.equal((await receiver.next()).index, 64, 'and it goes on')
})

t.test('a client that accepts nothing for too long is disconnected, and its sender hears of it', async t => {
  const { join, broker } = await startChannels(t, { stallMs: 1000 })
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  receiver.socket.pause()
  pour(sender, REQUEST, request, 32, sender)
  const error = await sender.nextError()
  t.same([error.request, error.payload.toString()], [request, 'receiver disconnected'])
  t.ok(await sender.isQuiet(), 'the rest of its data is passed over')
  await until(() => broker.figures().connections === 1)
  await works(t, sender, await join())
})

t.test('one that is slow but reads on is not', async t => {
  const { join } = await startChannels(t, { stallMs: 4000 })
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  pour(sender, REQUEST, request, 40, sender)
  for (let sequence = 0; sequence < 40; sequence++) {
    receiver.socket.resume()
    t.equal((await receiver.next()).index, sequence)
    receiver.socket.pause()
    await new Promise(resolve => setTimeout(resolve, 150))
  }
  t.same(sender.received, [])
})

t.test('a sender is held up by its receiver no longer than their exchange lasts', async t => {
  const clock = new FakeClock()
  const { join } = await startChannels(t, { stallMs: 2 * LONG_MS }, clock)
  const [sender, receiver, other] = [await join(), await join(), await join()]
  const request = await accepted(sender, receiver)
  receiver.socket.pause()
  const taken = pour(sender, REQUEST, request, 64, sender)
  t.ok(await atRest(taken) < 40 * MIB)
  // Its timeout; the receiver's stall comes later.
  clock.advance(LONG_MS - 1)
  t.same([sender.received.length, sender.socket.destroyed], [0, false])
  clock.advance(1)
  const error = await sender.nextError()
  t.equal(error.request, request)
  await works(t, sender, other)
  await until(() => taken() === 64 * MIB)
})

t.test('two that both write and do not read are let go of, and others are not held up', async t => {
  const { join, broker } = await startChannels(t, { stallMs: 1000, maxPendingBytes: MIB })
  const [one, two, sender, receiver] = [await join(), await join(), await join(), await join()]
  const request = await accepted(one, two)
  one.socket.pause()
  two.socket.pause()
  pour(one, REQUEST, request, 32, one)
  pour(two, RESPONSE, request, 32, one)
  await until(() => broker.figures().pendingBytes > MIB)
  await works(t, sender, receiver)
  await until(() => broker.figures().clients === 2)
  await works(t, sender, receiver)
})

t.test('one that asks for answers and does not read them is not read either', async t => {
  const { join, broker } = await startChannels(t, { stallMs: 60_000, maxPendingBytes: 65_536 })
  const request = id()
  const asking: Array<(client: RawClient) => Buffer> = [
    client => client.bytes({ type: 9, flags: REQUEST, request }),
    client => client.bytes({ type: END, flags: RECEIVE, request, payload: 'x' }),
    client => Buffer.concat([client.bytes({ type: START, flags: REQUEST, request }), client.bytes({ type: CHUNK, flags: REQUEST, request })])
  ]
  for (const ask of asking) {
    const client = await join()
    client.send(CHUNK, RECEIVE, id())
    await client.sync()
    client.socket.pause()
    const before = broker.tally.frames
    const many = Buffer.concat(Array.from({ length: 1000 }, () => ask(client)))
    for (let n = 0; n < 300; n++) client.write(many)
    await atRest(() => broker.tally.frames)
    const { pendingBytes } = broker.figures()
    t.ok(pendingBytes > 60_000 && pendingBytes < 70_000, `${pendingBytes} bytes wait`)
    t.ok(broker.tally.frames - before < 200_000, `${broker.tally.frames - before} of them were read`)
    client.socket.resume()
    await until(() => client.received.length >= 300_000, 60_000)
    client.socket.destroy()
    await until(() => broker.figures().connections === 0)
  }
})
