import { until } from '../support.ts'
import { FakeClock } from './fake-clock.ts'
import { CHUNK, FINAL, LONG_MS, REQUEST, RESPONSE } from './raw-frames.ts'
import { accepted, overEach, take, works } from './support.ts'
import type { Channels, Start } from './support.ts'

async function startStopped (start: Start): Promise<Channels & { clock: FakeClock }> {
  const clock = new FakeClock()
  return { ...await start({}, clock), clock }
}

overEach('a request that nobody takes ends at its timeout, and is given to nobody later', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  const begin = performance.now()
  const request = sender.open(undefined, { timeoutMs: 300 })
  const error = await sender.nextError()
  t.same([error.request, error.payload.toString()], [request, 'timeout'])
  t.ok(performance.now() - begin > 250, 'not before its time')
  receiver.claim()
  t.ok(await receiver.isQuiet())
  t.ok(await sender.isQuiet())
})

overEach('a request that is not served in time ends for both, and both can go on at once', async (t, start) => {
  const { join, clock } = await startStopped(start)
  const [sender, receiver] = [await join(), await join()]
  receiver.claim()
  await receiver.sync()
  const request = sender.open(undefined, { timeoutMs: 400 })
  await take(sender, receiver, request)
  clock.advance(399)
  t.ok(await sender.isQuiet())
  clock.advance(1)
  t.equal((await sender.nextError()).request, request)
  t.equal((await receiver.nextError()).request, request)
  receiver.reply(request, sender, 'late')
  receiver.over(request, sender)
  t.ok(await receiver.isQuiet())
  t.ok(await sender.isQuiet())
  await works(t, sender, receiver)
})

overEach('the clock of a request goes on when it is given to a second receiver', async (t, start) => {
  const { join, broker, clock } = await startStopped(start)
  const [sender, gone, receiver] = [await join(), await join(), await join()]
  gone.claim()
  await gone.sync()
  const request = sender.open(undefined, { timeoutMs: 1000 })
  await gone.next()
  clock.advance(600)
  gone.socket.destroy()
  await until(() => broker.figures().queued === 1)
  clock.advance(300)
  receiver.claim()
  await take(sender, receiver, request)
  clock.advance(99)
  t.ok(await sender.isQuiet())
  clock.advance(1)
  t.equal((await sender.nextError()).payload.toString(), 'timeout')
  t.equal((await receiver.nextError()).request, request)
})

overEach('the clock of a request runs until its end; after the sender\'s end its receiver is left alone', async (t, start) => {
  const { join, clock } = await startStopped(start)
  const [sender, receiver] = [await join(), await join()]
  const request = await accepted(sender, receiver)
  sender.send(CHUNK, REQUEST, request, { sequence: FINAL })
  receiver.send(CHUNK, RESPONSE, request, { client: sender.id, sequence: FINAL })
  t.same(await sender.nextTexts(1), ['chunk|response 0 final ""'])
  sender.done(request)
  t.same(await receiver.nextTexts(2), ['chunk|request 0 final ""', 'end|request'])
  clock.advance(LONG_MS)
  t.equal((await sender.nextError()).request, request)
  t.ok(await receiver.isQuiet())
  receiver.over(request, sender)
  t.ok(await sender.isQuiet())
})

overEach('a claim that nobody answers ends at its timeout, and gets nothing later', async (t, start) => {
  const { join, clock } = await startStopped(start)
  const [sender, receiver] = [await join(), await join()]
  const claim = receiver.claim(undefined, { timeoutMs: 300 })
  await receiver.sync()
  clock.advance(299)
  t.ok(await receiver.isQuiet())
  clock.advance(1)
  const error = await receiver.nextError()
  t.same([error.request, error.client, error.payload.toString()], [claim, receiver.id, 'timeout'])
  const request = sender.open()
  t.ok(await sender.isQuiet())
  t.ok(await receiver.isQuiet())
  receiver.claim()
  await take(sender, receiver, request)
})

overEach('a claim\'s own clock stops when it is given a request', async (t, start) => {
  const { join, clock } = await startStopped(start)
  const [sender, receiver] = [await join(), await join()]
  receiver.claim(undefined, { timeoutMs: 300 })
  await receiver.sync()
  const request = sender.open()
  await take(sender, receiver, request)
  clock.advance(4000)
  t.ok(await receiver.isQuiet())
})

overEach('the longest timeout there can be does not go off at once', async (t, start) => {
  const { join } = await start()
  const [sender, receiver] = [await join(), await join()]
  receiver.claim(undefined, { timeoutMs: 2n ** 64n - 1n })
  t.ok(await receiver.isQuiet())
  const request = sender.open(undefined, { timeoutMs: 2n ** 64n - 1n })
  await take(sender, receiver, request)
  t.ok(await sender.isQuiet())
})

overEach('an operation that names no timeout has 30 seconds', async (t, start) => {
  const { join, clock } = await startStopped(start)
  const [sender, receiver] = [await join(), await join()]
  const request = sender.open(undefined, { timeoutMs: 0 })
  await sender.sync()
  clock.advance(29_999)
  t.ok(await sender.isQuiet())
  clock.advance(1)
  t.equal((await sender.nextError()).request, request)
  const claim = receiver.claim(undefined, { timeoutMs: 0 })
  await receiver.sync()
  clock.advance(30_000)
  t.equal((await receiver.nextError()).request, claim)
})

overEach('a connection must say who it is in time, and end a frame that it has begun', async (t, start) => {
  const { join, broker, clock } = await startStopped(start)
  const [silent, slow, idle] = [await join(), await join(), await join()]
  const long = { timeoutMs: 10_000_000 }
  idle.claim(undefined, long)
  await idle.sync()
  const request = slow.open(undefined, long)
  await take(slow, idle, request)
  clock.advance(60_000)
  const whole = slow.bytes({ type: CHUNK, flags: REQUEST, request, sequence: 0, payload: 'x' })
  slow.write(whole)
  slow.writePart(whole.subarray(0, 40))
  t.same(await idle.nextTexts(1), ['chunk|request 0 "x"'])
  clock.advance(60_000)
  await silent.closed()
  t.ok(await idle.isQuiet())
  t.notOk(slow.isClosed)
  clock.advance(60_000)
  await slow.closed()
  t.same(await idle.nextTexts(1), ['error'], 'its sender has left')
  clock.advance(10_000_000)
  t.ok(await idle.isQuiet(), 'one that is just idle stays')
  t.equal(broker.figures().clients, 1)
})

overEach('an idle service has no timer', async (t, start) => {
  const { join, clock, broker } = await startStopped(start)
  const [sender, receiver] = [await join(), await join()]
  await works(t, sender, receiver)
  t.equal(broker.figures().clients, 2)
  t.equal(clock.timers.size, 0)
})
