import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Broker } from '../services/channels/broker.ts'
import type { BrokerFigures } from '../services/channels/broker.ts'
import type { ChannelLimits } from '../services/channels/limits.ts'
import type { Tally } from '../services/channels/tally.ts'
import { TcpServer } from '../services/channels-tcp/tcp-server.ts'
import { RegentError } from '../services/errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Request/reply channels: who is there, and on which port. */
    channels: Channels
  }
}

export interface Channels {
  broker: Broker
  /** What there is at this moment, and what has happened since the start. */
  stats: () => BrokerFigures & Tally
  /** Where TCP clients connect; null: no port is configured, or the app is not ready. */
  address: () => AddressInfo | null
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
    maxQueued: options.channelsMaxQueued,
    maxOperations: options.channelsMaxOperations,
    maxPendingBytes: options.channelsMaxPendingBytes,
    stallMs: options.channelsStallMs,
    frameMs: options.channelsFrameMs,
    defaultTimeoutMs: options.channelsDefaultTimeoutMs,
    closeMs: options.channelsCloseMs
  }
}

/** The channel broker as a decorator, and its TCP port. */
async function channelsPlugin (app: FastifyInstance, options: ChannelsPluginOptions): Promise<void> {
  const { channelsPort: port, channelsHost: host } = options
  const broker = new Broker({
    limits: limitsOf(options),
    log: app.log
  })
  const server = new TcpServer({ broker, maxConnections: options.channelsMaxConnections, log: app.log })
  let closed: Promise<unknown> | null = null
  const close = async (): Promise<void> => {
    closed ??= Promise.all([server.close(), broker.close()])
    await closed
  }

  app.decorate('channels', { broker, stats: () => ({ ...broker.figures(), ...broker.tally }), address: () => server.address })
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
  app.addHook('onClose', async () => { await close() })
}

export default fp(channelsPlugin, { name: 'regent-channels', fastify: '5.x' })
