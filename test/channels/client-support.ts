import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { WsServer } from '../../services/channels-ws/ws-server.ts'
import type { ChannelLimits } from '../../services/channels/limits.ts'
import { ChannelClient } from '../../services/client/channel-client.ts'
import type { ChannelClientOptions } from '../../services/client/channel-client.ts'
import { connectLocally } from '../../services/client/connect-locally.ts'
import { connectTcp } from '../../services/client/connect-tcp.ts'
import { connectWebSocket } from '../../services/client/connect-web-socket.ts'
import type { Connect } from '../../services/client/connect.ts'
import type { Handler, IncomingRequest } from '../../services/client/served-request.ts'
import { id } from './raw-frames.ts'
import type { Hex } from './raw-frames.ts'
import { startChannels } from './support.ts'
import type { Channels } from './support.ts'

export function uuid (hex: Hex = id()): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** Every way from a client to the broker. */
export const WAYS: Readonly<Record<string, (t: Test, channels: Channels) => Connect | Promise<Connect>>> = {
  TCP: (_t, { port }) => connectTcp('127.0.0.1', port),
  memory: (_t, { broker }) => connectLocally(broker),
  WebSocket: async (t, { broker }) => {
    const server = createServer()
    const webSockets = new WsServer({ broker })
    server.on('upgrade', (request, socket, head) => { webSockets.upgrade(request, socket, head) })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => { server.close() })
    return connectWebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, {})
  }
}

export type NewClient = (options?: Partial<ChannelClientOptions>) => ChannelClient

export interface ClientsOf extends Channels {
  /** Another client of the home channel, or of another; closed with the test. */
  client: NewClient
}

export async function startClients (t: Test, way: keyof typeof WAYS = 'TCP', limits: Partial<ChannelLimits> = {}): Promise<ClientsOf> {
  const channels = await startChannels(t, limits)
  const connect = await WAYS[way]?.(t, channels)
  if (connect === undefined) throw new Error(`no way called ${way}`)
  return { ...channels, client: options => clientOf(t, connect, { channel: uuid(channels.home), ...options }) }
}

export function clientOf (t: Test, connect: Connect, options: ChannelClientOptions): ChannelClient {
  const client = new ChannelClient(connect, options)
  t.teardown(async () => { await client.close(0) })
  return client
}

/** A test for each way. */
export function everyWay (t: Test, title: string, run: (t: Test, way: string) => Promise<void>): void {
  for (const way of Object.keys(WAYS)) void t.test(`${title} (${way})`, async t => { await run(t, way) })
}

export const shout: Handler = async ({ request }) => (await text(request)).toUpperCase()
export const echo: Handler = ({ request }) => request
/** Never replies; ends with its exchange. */
export async function hang ({ signal }: Pick<IncomingRequest, 'signal'>): Promise<void> {
  await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) })
}
