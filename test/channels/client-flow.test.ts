import { createHash, randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { until } from '../support.ts'
import { echo, everyWay, shout, startClients } from './client-support.ts'

const MIB = 1024 * 1024
const PIECE = randomBytes(MIB)

async function * pour (pieces: number): AsyncGenerator<Buffer> {
  for (let n = 0; n < pieces; n++) yield PIECE
}

v8.setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function inMemory (): number {
  // The second one waits until what the first one has found was given back.
  collectGarbage()
  collectGarbage()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

everyWay(t, '64 MiB go there and back in bounded memory', async (t, way) => {
  const { client } = await startClients(t, way, { maxPendingBytes: MIB })
  client().receive(echo)
  const before = inMemory()
  let [most, looked] = [0, 0]
  const [sent, got] = [createHash('sha256'), createHash('sha256')]
  for (let n = 0; n < 64; n++) sent.update(PIECE)
  let bytes = 0
  for await (const piece of client().send(pour(64), { timeoutMs: 300_000 })) {
    got.update(piece)
    bytes += piece.length
    if (bytes < looked + 8 * MIB) continue
    looked = bytes
    most = Math.max(most, inMemory() - before)
  }
  t.equal(bytes, 64 * MIB)
  t.equal(got.digest('hex'), sent.digest('hex'))
  t.ok(most < 16 * MIB, `${most} bytes more in memory at most`)
})

everyWay(t, 'a reply that is read slowly is sent slowly, and holds up its sender in bounded memory', async (t, way) => {
  const { client, broker } = await startClients(t, way)
  let yielded = 0
  client().receive(async function * () {
    for await (const piece of pour(64)) {
      yielded++
      yield piece
    }
  })
  const reply = client({ slowReaderMs: 60_000 }).send('', { timeoutMs: 300_000 })
  let last = -1
  await until(async () => {
    const before = yielded
    await sleep(300)
    const isAtRest = yielded === before && yielded === last
    last = yielded
    return isAtRest && yielded > 0
  }, 60_000)
  t.ok(yielded < 40, `${yielded} MiB were taken from the source`)
  t.ok(broker.figures().pendingBytes < 10 * MIB)
  let bytes = 0
  for await (const piece of reply) bytes += piece.length
  t.equal(bytes, 64 * MIB)
})

everyWay(t, 'a message that is not read holds up the others of its connection for a limited time, then fails', async (t, way) => {
  const { client, broker } = await startClients(t, way)
  const [sender, receiver] = [client({ slowReaderMs: 500 }), client()]
  receiver.receive(async ({ request }) => (await text(request)) === 'large' ? pour(8) : 'small', { concurrency: 2 })
  const unread = sender.send('large')
  await until(() => broker.figures().pendingBytes > MIB || unread.readableLength > 0)
  t.equal(await text(sender.send('small')), 'small')
  await t.rejects(text(unread), { code: 'CHANNEL_SLOW_READER' })
  t.equal(await text(sender.send('small')), 'small', 'the connection goes on')
  t.equal(broker.figures().connections, 2)
})

everyWay(t, 'a request that its handler does not read fails for its sender, and the connection goes on', async (t, way) => {
  const { client } = await startClients(t, way)
  const [sender, receiver] = [client(), client({ slowReaderMs: 500 })]
  const reasons: unknown[] = []
  let count = 0
  receiver.receive(async incoming => {
    if (count++ > 0) return await shout(incoming) as string
    await new Promise<void>(resolve => { incoming.signal.addEventListener('abort', () => { resolve() }) })
    reasons.push(incoming.signal.reason.code)
  }, { concurrency: 2 })
  const unread = text(sender.send(pour(8)))
  const rejected = t.rejects(unread, { code: 'CHANNEL_RECEIVER_FAILED' })
  t.equal(await text(sender.send('others')), 'OTHERS')
  await rejected
  t.same(reasons, ['CHANNEL_SLOW_READER'])
  t.equal(await text(sender.send('and after it')), 'AND AFTER IT')
})

everyWay(t, 'a request that its handler has answered without reading it ends well', async (t, way) => {
  const { client } = await startClients(t, way)
  client().receive(() => 'no need to read that')
  t.equal(await text(client().send(pour(8), { timeoutMs: 120_000 })), 'no need to read that')
})

everyWay(t, 'messages of one connection take turns', async (t, way) => {
  const { client } = await startClients(t, way)
  const ends: string[] = []
  client().receive(async ({ request }) => {
    let bytes = 0
    for await (const piece of request) bytes += piece.length
    ends.push(bytes === MIB ? 'small' : 'large')
  }, { concurrency: 2 })
  const sender = client()
  const large = text(sender.send(pour(8), { timeoutMs: 120_000 }))
  await Promise.all([large, text(sender.send(pour(1), { timeoutMs: 120_000 }))])
  t.same(ends, ['small', 'large'])
})
