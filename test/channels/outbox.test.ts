import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Deadlines } from '../../services/channels/deadlines.ts'
import { Outbox } from '../../services/channels/outbox.ts'
import type { Transport } from '../../services/channels/transport.ts'
import { FakeClock } from './fake-clock.ts'
import { DEFAULT_LIMITS } from './support.ts'

/** An outbox whose client takes what it is sent when the test says so. */
function makeOutbox (maxPendingBytes = 1000) {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const sent: Buffer[][] = []
  const state = { takesAtOnce: false, stalls: 0 }
  let taken = (): void => {}
  const transport: Transport = {
    send: (bytes, callback) => {
      sent.push([...bytes])
      taken = callback
      return state.takesAtOnce
    },
    pause: () => {},
    resume: () => {},
    end: () => {},
    destroy: () => {}
  }
  const outbox = new Outbox({ transport, deadlines, limits: { ...DEFAULT_LIMITS, maxPendingBytes }, stalled: () => { state.stalls++ } })
  const take = async (): Promise<void> => {
    taken()
    await Promise.resolve()
  }
  return { outbox, clock, deadlines, sent, state, take }
}

t.test('what is written at once goes out together, what comes while it is under way goes out next, in order', async t => {
  const { outbox, sent, take } = makeOutbox()
  for (const letter of ['a', 'b']) outbox.write([Buffer.from(letter)])
  await Promise.resolve()
  for (const letter of ['c', 'd']) outbox.write([Buffer.from(letter)])
  t.equal(sent.length, 1)
  t.equal(outbox.pendingBytes, 4)
  await take()
  await take()
  t.same(sent.map(batch => batch.join('')), ['ab', 'cd'])
  t.equal(outbox.pendingBytes, 0)
})

t.test('a large backlog goes out in batches, all of it', async t => {
  const { outbox, sent, take } = makeOutbox(2 ** 30)
  const pieces = Array.from({ length: 5000 }, (_, n) => Buffer.alloc(1 + n % 700, n))
  outbox.write([Buffer.from('first')])
  await Promise.resolve()
  for (const piece of pieces) outbox.write([piece])
  while (outbox.pendingBytes > 0) await take()
  t.ok(Buffer.concat(sent.flat()).equals(Buffer.concat([Buffer.from('first'), ...pieces])))
  t.ok(sent.every(batch => batch.reduce((sum, { length }) => sum + length, 0) <= 65_536))
})

t.test('a large piece goes out in parts that are seen to be taken, without a copy', async t => {
  const piece = randomBytes(200_000)
  for (const isWaiting of [false, true]) {
    const { outbox, sent, take } = makeOutbox()
    if (isWaiting) {
      outbox.write([Buffer.from('first')])
      await Promise.resolve()
    }
    outbox.write([piece])
    await Promise.resolve()
    while (outbox.pendingBytes > 0) await take()
    const parts = sent.flat().slice(isWaiting ? 1 : 0)
    t.same(parts.map(({ length }) => length), [65_536, 65_536, 65_536, 3392])
    t.ok(Buffer.concat(parts).equals(piece))
    t.ok(parts.every(({ buffer }) => buffer === piece.buffer))
  }
})

t.test('a small piece that waits does not keep what it was cut from', async t => {
  const { outbox, sent, take } = makeOutbox()
  const chunk = randomBytes(65_536)
  outbox.write([Buffer.from('under way')])
  await Promise.resolve()
  outbox.write([chunk.subarray(0, 100)])
  outbox.write([chunk.subarray(100, 50_000)])
  await take()
  t.same(sent[1]?.map(piece => piece.buffer.byteLength), [100, 65_536])
  t.ok(Buffer.concat(sent[1] ?? []).equals(chunk.subarray(0, 50_000)))
})

t.test('who waits for room is called one after the other, as far as there is room', async t => {
  const { outbox, take } = makeOutbox(1000)
  const called: string[] = []
  outbox.write([Buffer.alloc(600)])
  outbox.write([Buffer.alloc(401)])
  await Promise.resolve()
  t.ok(outbox.isFull)
  for (const name of ['a', 'b', 'c']) {
    outbox.onceDrained(() => {
      called.push(name)
      outbox.write([Buffer.alloc(600)])
    })
  }
  t.same(called, [])
  await take()
  t.same(called, ['a', 'b'], 'the second has filled it again')
  await take()
  t.same(called, ['a', 'b', 'c'])
})

t.test('only a client that takes nothing at all is stalled', async t => {
  const { outbox, clock, deadlines, state, take } = makeOutbox(1e6)
  outbox.write([Buffer.alloc(65_536), Buffer.alloc(65_536), Buffer.alloc(65_536)])
  await Promise.resolve()
  for (let n = 0; n < 2; n++) {
    clock.advance(4999)
    await take()
  }
  clock.advance(4999)
  t.equal(state.stalls, 0)
  clock.advance(1)
  t.equal(state.stalls, 1)
  await take()
  t.equal(deadlines.size, 0, 'nothing waits, nothing is watched')
})

t.test('when it is closed everybody who waits is let go, and nothing more is sent', async t => {
  const { outbox, sent, deadlines, take } = makeOutbox(10)
  let called = 0
  outbox.write([Buffer.alloc(100)])
  await Promise.resolve()
  outbox.onceDrained(() => { called++ })
  outbox.close()
  await Promise.resolve()
  t.equal(called, 1)
  outbox.write([Buffer.alloc(100)])
  await take()
  t.same([sent.length, outbox.pendingBytes, deadlines.size], [1, 0, 0])
})

t.test('finishing sends what there is and nothing that comes later', async t => {
  const { outbox, sent, state, take } = makeOutbox()
  let isFinished = false
  outbox.write([Buffer.from('a')])
  await Promise.resolve()
  outbox.write([Buffer.from('b')])
  outbox.finish(() => { isFinished = true })
  outbox.write([Buffer.from('c')])
  await take()
  t.notOk(isFinished)
  await take()
  t.ok(isFinished)
  t.equal(sent.flat().join(''), 'ab')
  const empty = makeOutbox()
  empty.state.takesAtOnce = state.takesAtOnce = true
  await new Promise<void>(resolve => { empty.outbox.finish(resolve) })
})
