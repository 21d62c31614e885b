import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { SOCKET_PATH } from '../plugins/channels.ts'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { Upgrades } from '../services/channels-ws/upgrades.ts'
import { RegentError } from '../services/errors.ts'
import { ForwardingError, MainSocket, endToEnd } from '../services/workers/main-socket.ts'
import { LOG_LEVEL_PATH } from './log-level.ts'
import { bodyOf, goneSignal, leaveBodiesUnread, streamed } from './streamed.ts'

const REQUESTS = `${SOCKET_PATH}/:channel/requests`

/**
 * What is answered by the main process where several are one server: the channels, as those who meet there have to meet in
 * one process, and what concerns all processes.
 */
export async function throughMainRoutes (app: FastifyInstance, { mainSocket }: { mainSocket: string }): Promise<void> {
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
      const answer = await main.request(request.raw, Readable.from(bodyOf(request, reply), { objectMode: false }), signal)
      reply.removeHeader('access-control-allow-origin')
      return await reply.code(answer.statusCode ?? 502).headers(endToEnd(answer.headers)).send(answer)
    } catch (error) {
      // A receiver may have got it.
      const isDoubtful = request.routeOptions.url?.endsWith(REQUESTS) === true && error instanceof ForwardingError && error.hasArrived
      throw new RegentError(isDoubtful ? 'RGT_CHANNEL_RECEIVER_LEFT' : 'RGT_SHUTTING_DOWN', { cause: error })
    }
  }
  const write = { ...streamed, access: 'write' } as const
  const read = { ...exemptFromPressure, access: 'read' } as const
  const admin = { ...exemptFromPressure, access: 'admin' } as const

  app.post(`${REQUESTS}`, { config: write }, forward)
  app.get(`${REQUESTS}/next`, { config: { ...write, ...exemptFromPressure }, exposeHeadRoute: false }, forward)
  app.post(`${REQUESTS}/:id/reply`, { config: { ...write, ...exemptFromPressure } }, forward)
  app.get('/api/v1/status/channels', { config: read }, forward)
  app.get(LOG_LEVEL_PATH, { config: admin }, forward)
  app.put(LOG_LEVEL_PATH, { config: admin }, forward)
  app.get('/metrics/prometheus', { config: { ...exemptFromPressure, access: 'public' }, logLevel: 'warn' }, forward)

  const connect = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const upgrade = upgrades.of(request.raw, reply.raw)
    if (upgrade === undefined) return
    reply.hijack()
    upgrades.answered(request.raw, reply.raw)
    main.upgrade(request.raw, upgrade.socket, upgrade.head)
  }
  app.get(SOCKET_PATH, { config: { access: 'write' }, preHandler: connect, exposeHeadRoute: false }, forward)
}
