import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from '../support.ts'
import { FakeClock } from './fake-clock.ts'
import type { RawClient } from './raw-client.ts'
import { CHUNK, END, LIMIT, LONG_MS, RECEIVE, REQUEST, RESPONSE, START, id } from './raw-frames.ts'
import type { Hex } from './raw-frames.ts'
import { accepted, atRest, overEach, works } from './support.ts'

const MIB = 1024 * 1024
const PAYLOAD = randomBytes(LIMIT)

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void // what the flag gives a new context

/** Bytes of buffers that are in use. */
function bytesInUse (): number {
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}

/**
 * Chunks one after the other, as fast as they are taken; one and the same payload in memory.
 * @returns how many bytes were taken
 */
function pour (writer: RawClient, flags: number, request: Hex, chunks: number, sender: RawClient): () => number {
  let taken = 0
  const next = (sequence: number): void => {
    if (sequence === chunks || writer.socket.writableEnded || writer.socket.destroyed) return
    writer.writePart(writer.bytes({ type: CHUNK, flags, request, client: sender.id, sequence, announced: LIMIT }))
    writer.link.send(PAYLOAD, true, () => {
      taken += LIMIT
      next(sequence + 1)
    })
  }
  next(0)
  return () => taken
}

overEach('a receiver that stops reading holds up its sender in bounded memory, and nobody else', async (t, start) => {
  const { join, broker } = await start({ stallMs: 60_000 })
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  receiver.socket.pause()
  const before = bytesInUse()
  const taken = await atRest(pour(sender, REQUEST, request, 64, sender))
  t.ok(taken > 8 * MIB && taken < 40 * MIB, `${taken} bytes taken, the system's buffers included`)
  t.ok(broker.figures().pendingBytes <= 9 * MIB + 68 * 9, `${broker.figures().pendingBytes} bytes wait`)
  const held = bytesInUse() - before
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

overEach('a client that accepts nothing for too long is disconnected, and its sender hears of it', async (t, start) => {
  const { join, broker } = await start({ stallMs: 1000 })
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

overEach('one that is slow but reads on is not', async (t, start) => {
  const { join } = await start({ stallMs: 4000 })
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

overEach('a sender is held up by its receiver no longer than their exchange lasts', async (t, start) => {
  const clock = new FakeClock()
  const { join } = await start({ stallMs: 2 * LONG_MS }, clock)
  const [sender, receiver, other] = [await join(), await join(), await join()]
  const request = await accepted(sender, receiver)
  receiver.socket.pause()
  const taken = pour(sender, REQUEST, request, 64, sender)
  const held = await atRest(taken)
  t.ok(held < 64 * MIB, `${held} bytes taken: not all of it`)
  // Its timeout; the receiver's stall comes later.
  clock.advance(LONG_MS - 1)
  t.same([sender.received.length, sender.socket.destroyed], [0, false])
  clock.advance(1)
  const error = await sender.nextError()
  t.equal(error.request, request)
  await works(t, sender, other)
  await until(() => taken() === 64 * MIB)
})

overEach('two that both write and do not read are let go of, and others are not held up', async (t, start) => {
  const { join, broker } = await start({ stallMs: 1000, maxPendingBytes: MIB })
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

overEach('one that asks for answers and does not read them is not read either', async (t, start, transport) => {
  const { join, broker } = await start({ stallMs: 60_000, maxPendingBytes: 65_536 })
  const request = id()
  const asking: Array<(client: RawClient) => Buffer> = [
    client => client.bytes({ type: 9, flags: REQUEST, request }),
    client => client.bytes({ type: END, flags: RECEIVE, request, payload: 'x' }),
    client => Buffer.concat([client.bytes({ type: START, flags: REQUEST, request }), client.bytes({ type: CHUNK, flags: REQUEST, request })])
  ]
  // What is asked makes no difference to what carries it.
  for (const ask of transport === 'TCP' ? asking : asking.slice(0, 1)) {
    const client = await join()
    client.send(CHUNK, RECEIVE, id())
    await client.sync()
    client.socket.pause()
    const before = broker.tally.frames
    const many = Buffer.concat(Array.from({ length: 1000 }, () => ask(client)))
    for (let n = 0; n < 200; n++) client.write(many)
    await atRest(() => broker.tally.frames)
    const { pendingBytes } = broker.figures()
    t.ok(pendingBytes > 60_000 && pendingBytes < 70_000, `${pendingBytes} bytes wait`)
    t.ok(broker.tally.frames - before < 150_000, `${broker.tally.frames - before} of them were read`)
    client.socket.resume()
    await until(() => client.received.length >= 200_000, 60_000)
    client.socket.destroy()
    await until(() => broker.figures().connections === 0)
  }
})

overEach('one that is held up when the service stops hears of it, and its connection ends in order', async (t, start) => {
  const { join, broker } = await start({ stallMs: 60_000, closeMs: 60_000 })
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  const errors: unknown[] = []
  sender.socket.on('error', error => { errors.push(error) })
  receiver.socket.pause()
  const taken = pour(sender, REQUEST, request, 40, sender)
  await atRest(taken)
  // It does not see that it is being closed before it has written everything.
  sender.socket.pause()
  const closing = broker.close()
  await until(() => taken() === 40 * MIB)
  sender.socket.resume()
  t.equal((await sender.nextError()).request, request)
  await sender.closed()
  receiver.socket.destroy()
  await closing
  t.same(errors, [])
})
