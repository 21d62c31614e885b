import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { openWs } from './links.ts'
import { PollingClient } from './polling-client.ts'
import { frame, id } from './raw-frames.ts'
import { seeded } from './seeded.ts'
import { startChannels } from './support.ts'

const CONNECTIONS = 400

t.test('no bytes disturb those who keep to the protocol', async t => {
  const channels = await startChannels(t)
  const random = seeded(42)
  // These two stand idle where the attacks go, so that attackers use their ids; the others work in a channel of theirs.
  const idle = [await channels.join(), await channels.join()]
  for (const client of idle) client.claim()
  const victims = { channel: channels.home, ids: [...idle.map(client => client.id), id(), id(), id(), id()] }
  const over = new AbortController()

  let served = 0
  const healthy = (async () => {
    const home = id()
    const [asking, answering] = [new PollingClient(await channels.join(home, undefined, 'TCP')), new PollingClient(await channels.join(home, undefined, 'WebSocket'))]
    while (!over.signal.aborted) {
      const [reply, request] = await Promise.all([asking.send(`n${served}`), answering.receive(message => `${message}!`)])
      if (reply !== `n${served}!` || request === null) throw new Error(`${reply} instead of n${served}!`)
      served++
    }
    return asking.strays
  })()

  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T // never asked of an empty list
  const requests = Array.from({ length: 5 }, id)
  const aFrame = (): Buffer => {
    const bytes = frame({
      type: pick([4, 4, 5, 5, 6, 3, random(256)]),
      flags: pick([1, 4, 8, 1, 4, 8, 0, random(65_536)]),
      request: pick(requests),
      client: pick(victims.ids),
      channel: random(10) === 0 ? id() : victims.channel,
      timeoutMs: pick([0, 1, 50, 5000, 2n ** 64n - 1n]),
      sequence: pick([0, 1, 2, 0x8000_0000, 0x8000_0001, random(2 ** 32)]),
      payload: random(3) === 0 ? randomBytes(random(5000)) : ''
    })
    if (random(8) === 0) bytes[random(bytes.length)] = random(256)
    if (random(40) === 0) bytes.writeUInt32BE(pick([1_048_577, 0xffff_ffff, 100]), 64)
    return random(40) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes
  }

  const pause = async (): Promise<void> => { if (random(4) === 0) await new Promise(resolve => setImmediate(resolve)) }

  async function attack (): Promise<void> {
    const socket = connect({ port: channels.port, host: '127.0.0.1', noDelay: true })
    socket.on('error', () => {})
    const closed = once(socket, 'close')
    await once(socket, 'connect').catch(() => {})
    socket.resume()
    const stream = random(10) === 0 ? randomBytes(2000) : Buffer.concat(Array.from({ length: 1 + random(60) }, aFrame))
    for (let at = 0; at < stream.length && !socket.destroyed;) {
      const length = 1 + random(pick([3, 100, 5000]))
      socket.write(stream.subarray(at, at + length))
      at += length
      await pause()
    }
    if (random(2) === 0) socket.destroy()
    else socket.end()
    await closed
  }

  async function attackByWebSocket (): Promise<void> {
    const { ws, socket } = openWs(t, channels.url)
    ws.on('error', () => {})
    const closed = once(ws, 'close')
    await once(ws, 'open')
    for (let n = random(60); n >= 0 && ws.readyState === ws.OPEN; n--) {
      const kind = random(60)
      if (kind === 0) ws.send('a text')
      else if (kind === 1) socket.write(randomBytes(100))
      else if (kind === 2) ws.ping(randomBytes(random(126)))
      const bytes = kind === 3 ? Buffer.concat([aFrame(), aFrame()]) : aFrame()
      for (let at = 0; at < bytes.length;) {
        const length = 1 + random(pick([10, 100, 6000, 6000]))
        ws.send(bytes.subarray(at, at + length), { binary: true, fin: at + length >= bytes.length })
        at += length
      }
      await pause()
    }
    if (random(2) === 0) socket.destroy()
    else ws.close()
    await closed
  }

  for (let n = 0; n < CONNECTIONS; n += 4) await Promise.all([attack(), attack(), attackByWebSocket(), attackByWebSocket()])
  over.abort()
  t.same(await healthy, [])
  t.ok(served > 20, `${served} exchanges meanwhile`)
  t.ok(channels.broker.tally.invalid > CONNECTIONS, `${channels.broker.tally.invalid} frames were refused`)
})
