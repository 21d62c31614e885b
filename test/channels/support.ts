import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import tap from 'tap'
import type { Test } from 'tap'
import { Broker } from '../../services/channels/broker.ts'
import { systemClock } from '../../services/channels/deadlines.ts'
import type { Clock } from '../../services/channels/deadlines.ts'
import type { ChannelLimits } from '../../services/channels/limits.ts'
import { readRegentOptions } from '../../services/options.ts'
import { limitsOf } from '../../plugins/channels.ts'
import { TcpServer } from '../../services/channels-tcp/tcp-server.ts'
import { WsServer } from '../../services/channels-ws/ws-server.ts'
import { until } from '../support.ts'
import { TRANSPORTS } from './links.ts'
import type { TransportName } from './links.ts'
import { RawClient } from './raw-client.ts'
import { id } from './raw-frames.ts'
import type { Hex } from './raw-frames.ts'

/** As they are when nothing is configured. */
export const DEFAULT_LIMITS = limitsOf(readRegentOptions({ databaseHost: 'unused' }))
const log = { debug: () => {} }

export interface Channels {
  broker: Broker
  /** Where TCP clients connect. */
  port: number
  /** Where WebSocket clients connect. */
  url: string
  /** The channel that clients join who name none. */
  home: Hex
  /** A client of the channel that most of a test happens in, or of another. */
  join: (channel?: Hex, clientId?: Hex, transport?: TransportName) => Promise<RawClient>
  /** All clients' operations are over, whatever became of them: nothing may be left of them. */
  isEmpty: () => boolean
}

/**
 * A broker on free ports. When the test is over and its clients have left, its tables must be empty.
 * @param transport how clients join; several: in turn
 */
export async function startChannels (t: Test, limits: Partial<ChannelLimits> = {}, clock: Clock = systemClock, ...transports: TransportName[]): Promise<Channels> {
  const broker = new Broker({ limits: { ...DEFAULT_LIMITS, ...limits }, log, clock })
  const server = new TcpServer({ broker, log })
  await server.listen(0, '127.0.0.1')
  const port = server.address?.port ?? 0
  const url = await serveWebSockets(t, broker)
  const home = id()
  const clients: RawClient[] = []
  let joined = 0
  const isEmpty = (): boolean => Object.values(broker.figures()).every(count => count === 0)
  t.teardown(async () => {
    for (const client of clients) client.socket.destroy()
    await until(isEmpty).catch(() => { throw new Error(`left behind: ${JSON.stringify(broker.figures())}`) })
    await Promise.all([server.close(), broker.close()])
  })
  return {
    broker,
    port,
    url,
    home,
    isEmpty,
    join: async (channel = home, clientId = id(), transport = transports[joined++ % transports.length] ?? 'TCP') => {
      const client = transport === 'TCP' ? await RawClient.connect(t, port, channel, clientId) : await RawClient.connectWs(t, url, channel, clientId)
      clients.push(client)
      return client
    }
  }
}

/** Starts a broker whose clients join by one transport. */
export type Start = (limits?: Partial<ChannelLimits>, clock?: Clock) => Promise<Channels>

/** A test of behaviour that is the same whatever carries the frames. */
export function overEach (title: string, body: (t: Test, start: Start, transport: TransportName) => Promise<void>): void {
  for (const transport of TRANSPORTS) {
    void tap.test(`${title} (${transport})`, async t => {
      await body(t, async (limits, clock) => await startChannels(t, limits, clock, transport), transport)
    })
  }
}

/** @param clock what the peers are asked by whether they are still there */
export async function serveWebSockets (t: Test, broker: Broker, clock?: Clock): Promise<string> {
  const webSockets = new WsServer({ broker, ...(clock === undefined ? {} : { clock }) })
  const server = createServer().on('upgrade', (request, socket, head) => { webSockets.upgrade(request, socket, head) })
  t.teardown(() => { server.close() })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}` // it listens on TCP
}

/** Comes back when a count does not grow any more. */
export async function atRest (count: () => number): Promise<number> {
  let last = -1
  let since = 0
  await until(() => {
    if (count() !== last) [last, since] = [count(), performance.now()]
    return performance.now() - since > 1000
  }, 30_000)
  return last
}

/** A claim of X was given the request of S and accepted; both know. */
export async function accepted (sender: RawClient, receiver: RawClient): Promise<Hex> {
  receiver.claim()
  await receiver.sync()
  const request = sender.open()
  await take(sender, receiver, request)
  return request
}

/** The receiver gets this request's start and accepts it; the sender hears of it. */
export async function take (sender: RawClient, receiver: RawClient, request: Hex): Promise<void> {
  await gets(receiver, request)
  receiver.accept(request, sender)
  await gets(sender, request)
}

async function gets (client: RawClient, request: Hex): Promise<void> {
  const start = await client.next()
  if (start.request !== request || start.type !== 4) throw new Error(`type ${start.type} of ${start.request} instead of the start of ${request}`)
}

/** From acceptance to the end, as a client that never polls does it. Fails unless both see exactly what they must. */
export async function finishExchange (t: Test, sender: RawClient, receiver: RawClient, request: Hex): Promise<void> {
  sender.ask(request, 'hello')
  t.same(await receiver.nextTexts(2), ['chunk|request 0 "hello"', 'chunk|request 1 final ""'])
  receiver.reply(request, sender, 'HELLO')
  t.same(await sender.nextTexts(2), ['chunk|response 0 "HELLO"', 'chunk|response 1 final ""'])
  sender.done(request)
  t.same(await receiver.nextTexts(1), ['end|request'])
  receiver.over(request, sender)
  t.same(await sender.nextTexts(1), ['end|response'])
}

/** A whole exchange between two that have nothing else under way: both are well. */
export async function works (t: Test, sender: RawClient, receiver: RawClient): Promise<void> {
  await finishExchange(t, sender, receiver, await accepted(sender, receiver))
  t.ok(await sender.isQuiet())
  t.ok(await receiver.isQuiet())
}
