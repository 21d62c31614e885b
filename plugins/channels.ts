import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Broker } from '../services/channels/broker.ts'
import type { BrokerFigures } from '../services/channels/broker.ts'
import type { ChannelLimits } from '../services/channels/limits.ts'
import type { Tally } from '../services/channels/tally.ts'
import { TcpServer } from '../services/channels-tcp/tcp-server.ts'
import { Upgrades } from '../services/channels-ws/upgrades.ts'
import { WsServer } from '../services/channels-ws/ws-server.ts'
import { RegentError } from '../services/errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Request/reply channels: who is there, and on which port. */
    channels: Channels
  }
}

/** Where WebSocket clients connect. */
export const SOCKET_PATH = '/api/v1/channels'

export interface Channels {
  broker: Broker
  webSockets: WsServer
  /** Requests to connect by WebSocket. */
  upgrades: Upgrades
  /** What there is at this moment, and what has happened since the start. */
  stats: () => BrokerFigures & Tally
  /** Where TCP clients connect; null: no port is configured, or the app is not ready. */
  address: () => AddressInfo | null
  /** Tells everybody who is in the middle of something that it is over, and closes their connections. */
  close: () => Promise<void>
}

export interface ChannelsPluginOptions {
  channelsPort: number | undefined
  channelsHost: string
  channelsMaxConnections: number
  channelsMaxQueued: number
  channelsMaxOperations: number
  channelsMaxPendingBytes: number
  channelsStallMs: number
  channelsFrameMs: number
  channelsDefaultTimeoutMs: number
  channelsCloseMs: number
}

export function limitsOf (options: ChannelsPluginOptions): ChannelLimits {
  return {
    maxConnections: options.channelsMaxConnections,
    maxQueued: options.channelsMaxQueued,
    maxOperations: options.channelsMaxOperations,
    maxPendingBytes: options.channelsMaxPendingBytes,
    stallMs: options.channelsStallMs,
    frameMs: options.channelsFrameMs,
    defaultTimeoutMs: options.channelsDefaultTimeoutMs,
    closeMs: options.channelsCloseMs
  }
}

/** The channel broker as a decorator, its TCP port, and what its WebSocket route needs. */
async function channelsPlugin (app: FastifyInstance, options: ChannelsPluginOptions): Promise<void> {
  const { channelsPort: port, channelsHost: host } = options
  const broker = new Broker({
    limits: limitsOf(options),
    log: app.log
  })
  const server = new TcpServer({ broker, log: app.log })
  const webSockets = new WsServer({ broker })
  const upgrades = new Upgrades({
    server: app.server,
    path: `${app.prefix.replace(/\/$/, '')}${SOCKET_PATH}`,
    serve: (request, response) => { app.routing(request, response) }
  })
  let closed: Promise<unknown> | null = null
  const close = async (): Promise<void> => {
    closed ??= Promise.all([server.close(), broker.close()])
    await closed
  }

  app.decorate('channels', { broker, webSockets, upgrades, stats: () => ({ ...broker.figures(), ...broker.tally }), address: () => server.address, close })
  app.addHook('onReady', async () => {
    if (port === undefined) return
    try {
      await server.listen(port, host)
    } catch (error) {
      throw new RegentError('RGT_OPTIONS_INVALID', { detail: `channelsPort (CHANNELS_PORT): cannot listen on ${host}:${port}: ${(error as Error).message}`, cause: error })
    }
    app.log.info({ address: server.address }, 'channels are open')
  })
  // Along with the HTTP connections, which may take longer.
  app.addHook('preClose', async () => { void close() })
  app.addHook('onClose', async () => {
    await close()
    upgrades.close()
  })
}

export default fp(channelsPlugin, { name: 'regent-channels', fastify: '5.x' })
