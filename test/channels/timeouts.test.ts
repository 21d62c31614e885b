import t from 'tap'
import { until } from '../support.ts'
import { CHUNK, FINAL, REQUEST, RESPONSE } from './raw-frames.ts'
import { accepted, startChannels, take, works } from './support.ts'

/** How long something took. */
async function timed<T> (what: Promise<T>): Promise<{ result: T, ms: number }> {
  const start = performance.now()
  return { result: await what, ms: performance.now() - start }
}

t.test('a request that nobody takes ends at its timeout, and is given to nobody later', async t => {
  const { join } = await startChannels(t)
  const [sender, receiver] = [await join(), await join()]
  const request = sender.open(undefined, { timeoutMs: 300 })
  const { result, ms } = await timed(sender.nextError())
  t.same([result.request, result.payload.toString()], [request, 'timeout'])
  t.ok(ms > 200, `not before its time: ${ms} ms`)
  receiver.claim()
  t.ok(await receiver.isQuiet())
  t.ok(await sender.isQuiet())
})

t.test('a request that is not served in time ends for both, and both can go on at once', async t => {
  const { join } = await startChannels(t)
  const [sender, receiver] = [await join(), await join()]
  receiver.claim()
  await receiver.sync()
  const request = sender.open(undefined, { timeoutMs: 400 })
  await take(sender, receiver, request)
  t.equal((await sender.nextError()).request, request)
  t.equal((await receiver.nextError()).request, request)
  receiver.reply(request, sender, 'late')
  receiver.over(request, sender)
  t.ok(await receiver.isQuiet())
  t.ok(await sender.isQuiet())
  await works(t, sender, receiver)
})

t.test('the clock of a request goes on when it is given to a second receiver, and until its end', async t => {
  const { join, broker } = await startChannels(t)
  const [sender, gone, receiver] = [await join(), await join(), await join()]
  gone.claim()
  await gone.sync()
  const opened = performance.now()
  const request = sender.open(undefined, { timeoutMs: 1500 })
  await gone.next()
  await new Promise(resolve => setTimeout(resolve, 700))
  gone.socket.destroy()
  await until(() => broker.figures().queued === 1)
  receiver.claim()
  await take(sender, receiver, request)
  sender.send(CHUNK, REQUEST, request, { sequence: FINAL })
  receiver.send(CHUNK, RESPONSE, request, { client: sender.id, sequence: FINAL })
  t.same(await sender.nextTexts(1), ['chunk|response 0 final ""'])
  sender.done(request)
  t.equal((await sender.nextError()).payload.toString(), 'timeout')
  const ms = performance.now() - opened
  t.ok(ms >= 1400 && ms < 2150, `not started anew: ${ms} ms`)
  t.same(await receiver.nextTexts(2), ['chunk|request 0 final ""', 'end|request'])
  t.ok(await receiver.isQuiet(), 'no error after the sender\'s end')
})

t.test('a claim that nobody answers ends at its timeout, and gets nothing later', async t => {
  const { join } = await startChannels(t)
  const [sender, receiver] = [await join(), await join()]
  const claim = receiver.claim(undefined, { timeoutMs: 300 })
  const { result, ms } = await timed(receiver.nextError())
  t.same([result.request, result.client, result.payload.toString()], [claim, receiver.id, 'timeout'])
  t.ok(ms > 200, `not before its time: ${ms} ms`)
  const request = sender.open()
  t.ok(await sender.isQuiet())
  t.ok(await receiver.isQuiet())
  receiver.claim()
  await take(sender, receiver, request)
})

t.test('a claim\'s own clock stops when it is given a request', async t => {
  const { join } = await startChannels(t)
  const [sender, receiver] = [await join(), await join()]
  receiver.claim(undefined, { timeoutMs: 300 })
  await receiver.sync()
  const request = sender.open()
  await take(sender, receiver, request)
  await new Promise(resolve => setTimeout(resolve, 400))
  t.ok(await receiver.isQuiet())
})

t.test('the longest timeout there can be is long', async t => {
  const { join } = await startChannels(t)
  const [sender, receiver] = [await join(), await join()]
  receiver.claim(undefined, { timeoutMs: 2n ** 64n - 1n })
  t.ok(await receiver.isQuiet())
  const request = sender.open(undefined, { timeoutMs: 2n ** 64n - 1n })
  await take(sender, receiver, request)
  t.ok(await sender.isQuiet())
})

t.test('an operation that names no timeout has the configured one', async t => {
  const { join } = await startChannels(t, { defaultTimeoutMs: 200 })
  const [sender, receiver] = [await join(), await join()]
  const request = sender.open(undefined, { timeoutMs: 0 })
  t.equal((await sender.nextError()).request, request)
  const claim = receiver.claim(undefined, { timeoutMs: 0 })
  t.equal((await receiver.nextError()).request, claim)
  await works(t, sender, receiver)
})

t.test('a connection must say who it is in time, and end a frame that it has begun', async t => {
  const { join, broker } = await startChannels(t, { frameMs: 300 })
  const [silent, slow, idle] = [await join(), await join(), await join()]
  const request = await accepted(slow, idle)
  slow.write(slow.bytes({ type: CHUNK, flags: REQUEST, request, sequence: 0, payload: 'x' }).subarray(0, 40))
  await silent.closed()
  await slow.closed()
  t.same(await idle.nextTexts(1), ['error'], 'its sender has left')
  t.ok(await idle.isQuiet(), 'one that is just idle stays')
  t.equal(broker.figures().clients, 1)
})
