import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { SOCKET_PATH } from '../plugins/channels.ts'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { contextOf, untraced } from '../plugins/telemetry.ts'
import { Upgrades } from '../services/channels-ws/upgrades.ts'
import { RegentError } from '../services/errors.ts'
import { headersOfContext } from '../services/trace-context/trace-context.ts'
import { withErrors } from '../services/openapi/error-responses.ts'
import { ForwardingError, MainSocket, endToEnd } from '../services/workers/main-socket.ts'
import { LOG_LEVEL_PATH } from './log-level.ts'
import { channelSchemas } from './schemas/channels.ts'
import { channelsSocketSchema } from './schemas/channels-socket.ts'
import { channelsStatusSchema } from './schemas/channels-status.ts'
import { logLevelSchemas } from './schemas/log-level.ts'
import { prometheusSchema } from './schemas/prometheus.ts'
import type { Operation } from './schemas/shared.ts'
import { bodyOf, goneSignal, leaveBodiesUnread, streamed } from './streamed.ts'

const REQUESTS = `${SOCKET_PATH}/:channel/requests`

/**
 * What is answered by the main process where several are one server: the channels, as those who meet there have to meet in
 * one process, and what concerns all processes.
 */
export async function throughMainRoutes (app: FastifyInstance, { mainSocket, channelsDefaultTimeoutMs }: { mainSocket: string, channelsDefaultTimeoutMs: number }): Promise<void> {
  const main = new MainSocket(mainSocket)
  const upgrades = new Upgrades({
    server: app.server,
    path: `${app.prefix}${SOCKET_PATH}`,
    serve: (request, response) => { app.routing(request, response) }
  })
  app.addHook('preClose', async () => { main.drop() })
  app.addHook('onClose', async () => {
    upgrades.close()
    main.close()
  })
  leaveBodiesUnread(app)

  const forward = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const signal = goneSignal(request, reply)
    try {
      const { method, url, headers } = request.raw
      // What the main process does about it is part of what is done here.
      const forwarded = { method, url, headers: { ...headers, ...headersOfContext(contextOf(app, request)) } }
      const answer = await main.request(forwarded, Readable.from(bodyOf(request, reply), { objectMode: false }), signal)
      reply.removeHeader('access-control-allow-origin')
      return await reply.code(answer.statusCode ?? 502).headers(endToEnd(answer.headers)).send(answer)
    } catch (error) {
      // A receiver may have got it.
      const isDoubtful = request.routeOptions.url?.endsWith(REQUESTS) === true && error instanceof ForwardingError && error.hasArrived
      throw new RegentError(isDoubtful ? 'RGT_CHANNEL_RECEIVER_LEFT' : 'RGT_SHUTTING_DOWN', { cause: error })
    }
  }
  const schemas = channelSchemas({ channelsDefaultTimeoutMs })
  const write = { ...streamed, access: 'write' } as const
  const read = { ...exemptFromPressure, access: 'read' } as const
  const admin = { ...exemptFromPressure, access: 'admin' } as const

  app.post(`${REQUESTS}`, { config: write, schema: forwarded(schemas.send) }, forward)
  app.get(`${REQUESTS}/next`, { config: { ...write, ...exemptFromPressure }, schema: forwarded(schemas.next), exposeHeadRoute: false }, forward)
  app.post(`${REQUESTS}/:id/reply`, { config: { ...write, ...exemptFromPressure }, schema: forwarded(schemas.reply) }, forward)
  app.get('/api/v1/status/channels', { config: read, schema: forwarded(channelsStatusSchema) }, forward)
  app.get(LOG_LEVEL_PATH, { config: admin, schema: forwarded(logLevelSchemas.show) }, forward)
  app.put(LOG_LEVEL_PATH, { config: admin, schema: forwarded(logLevelSchemas.change) }, forward)
  app.get('/metrics/prometheus', { config: { ...exemptFromPressure, ...untraced, access: 'public' }, schema: forwarded(prometheusSchema), logLevel: 'warn' }, forward)

  const connect = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const upgrade = upgrades.of(request.raw, reply.raw)
    if (upgrade === undefined) return
    reply.hijack()
    upgrades.answered(request.raw, reply.raw)
    main.upgrade(request.raw, upgrade.socket, upgrade.head)
  }
  app.get(SOCKET_PATH, { config: { access: 'write' }, schema: forwarded(channelsSocketSchema), preHandler: connect, exposeHeadRoute: false }, forward)
}

/** The same operation, of another process that may be about to end. */
function forwarded (operation: Operation): Operation {
  return { ...operation, response: withErrors(operation.response, ['RGT_SHUTTING_DOWN']) }
}
