import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Transport } from '../../services/channels/transport.ts'
import { ChannelError } from '../../services/client/channel-error.ts'
import type { ChannelErrorCode } from '../../services/client/channel-error.ts'
import type { Connect } from '../../services/client/connect.ts'
import type { ChannelClient } from '../../services/client/channel-client.ts'
import { until } from '../support.ts'
import { WAYS, clientOf, uuid } from './client-support.ts'
import { seeded } from './seeded.ts'
import { startChannels } from './support.ts'

const SEEDS = [1, 2, 3]
const SENDS = 150
// What can happen to a request of a client that is well, when those around it come, go and die.
const POSSIBLE: ReadonlySet<ChannelErrorCode> = new Set<ChannelErrorCode>([
  'CHANNEL_ABORTED', 'CHANNEL_TIMEOUT', 'CHANNEL_CLOSED', 'CHANNEL_CONNECTION_LOST', 'CHANNEL_RECEIVER_FAILED', 'CHANNEL_RECEIVER_DISCONNECTED', 'CHANNEL_SLOW_READER'
])

function digest (bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

for (const seed of SEEDS) {
  void t.test(`whatever clients do, each request is answered in full or fails, and nothing is left (seed ${seed})`, async t => {
    const random = seeded(seed)
    const channels = await startChannels(t)
    const channel = uuid(channels.home)
    const transports = new Set<Transport>()
    const connects: Connect[] = []
    for (const way of Object.values(WAYS)) {
      const connect = await way(t, channels)
      connects.push(async (events, signal) => {
        const transport = await connect(events, signal)
        transports.add(transport)
        return transport
      })
    }
    const newClient = (): ChannelClient => clientOf(t, connects[random(connects.length)] as Connect, { channel, slowReaderMs: 500 })
    const served = new Map<string, number>()
    const faults: unknown[] = []
    const serve = (client: ChannelClient): void => {
      client.receive(async ({ request, signal }) => {
        const bytes = await buffer(request)
        const key = bytes.toString('latin1', 0, 12)
        served.set(key, (served.get(key) ?? 0) + 1)
        const choice = random(20)
        if (choice === 0) throw new Error('on purpose')
        if (choice === 1) await sleep(random(300), undefined, { signal }).catch(() => {})
        return (async function * () {
          yield digest(bytes)
          yield bytes
        })()
      }, { concurrency: 1 + random(4), onError: error => { if ((error as Error).message !== 'on purpose') faults.push(error) } })
    }
    const clients = Array.from({ length: 6 }, newClient)
    for (const client of clients.slice(2)) serve(client)

    let answered = 0
    const exchange = async (n: number): Promise<void> => {
      const client = clients[random(clients.length)] as ChannelClient // as random is below the length
      const bytes = Buffer.concat([Buffer.from(`${n}`.padStart(12)), Buffer.alloc(random(3) === 0 ? random(400_000) : random(200), n)])
      const controller = new AbortController()
      if (random(15) === 0) void sleep(random(50)).then(() => { controller.abort() })
      try {
        const reply = await buffer(client.send(bytes, { timeoutMs: random(20) === 0 ? 1 + random(60) : 20_000, signal: controller.signal }))
        if (reply.toString('latin1', 0, 64) !== digest(bytes) || !reply.subarray(64).equals(bytes)) t.fail(`the reply to ${n} is of something else`)
        answered++
      } catch (error) {
        if (!(error instanceof ChannelError) || !POSSIBLE.has(error.code)) t.fail(`request ${n} failed with ${String(error)}`)
      }
    }
    const running: Array<Promise<void>> = []
    for (let n = 0; n < SENDS; n++) {
      running.push(exchange(n))
      const choice = random(25)
      if (choice === 0) [...transports][random(transports.size)]?.destroy()
      if (choice === 1) {
        const place = random(clients.length)
        const [old, fresh] = [clients[place], newClient()]
        clients[place] = fresh
        serve(fresh)
        running.push((async () => { await old?.close(random(2) * 1000) })())
      }
      if (choice < 6) await sleep(random(10))
    }
    await Promise.all(running)
    t.ok(answered > SENDS / 4, `${answered} were answered`)
    t.same([...served].filter(([, count]) => count > 1), [], 'none was given to two')
    t.same(faults, [])
    await Promise.all(clients.map(async client => { await client.close() }))
    await until(channels.isEmpty)
  })
}
