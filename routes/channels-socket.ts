import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { SOCKET_PATH } from '../plugins/channels.ts'
import { RegentError } from '../services/errors.ts'
import { channelsSocketSchema } from './schemas/channels-socket.ts'

// RFC 6455, section 4.4: named where the version asked for cannot be had.
const VERSION = '13'

/** GET /api/v1/channels: a WebSocket to the channels. Whatever hooks decide about other requests they decide about this. */
export async function channelsSocketRoute (app: FastifyInstance, { isOpenToAll }: { isOpenToAll: boolean }): Promise<void> {
  const { broker, webSockets, upgrades } = app.channels

  // Before the handler: a host's @fastify/websocket puts its own in the place of ours.
  const connect = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const upgrade = upgrades.of(request.raw, reply.raw)
    if (upgrade === undefined) return
    if (!isOriginAllowed(request, reply, isOpenToAll)) throw new RegentError('RGT_ORIGIN_REFUSED')
    if (broker.isFull) throw new RegentError('RGT_CHANNELS_FULL')
    const fault = webSockets.upgrade(request.raw, upgrade.socket, upgrade.head)
    if (fault !== null) {
      reply.header('sec-websocket-version', VERSION)
      throw new RegentError('RGT_REQUEST_INVALID', { detail: fault.message, cause: fault })
    }
    reply.hijack()
    upgrades.answered(request.raw, reply.raw)
  }
  app.get(SOCKET_PATH, { config: { access: 'write' }, schema: channelsSocketSchema, preHandler: connect, exposeHeadRoute: false }, async (_request, reply) => {
    reply.headers({ connection: 'upgrade', upgrade: 'websocket' })
    throw new RegentError('RGT_UPGRADE_REQUIRED')
  })
}

/**
 * Browsers let any page open a WebSocket anywhere and say only whose page it is; programs say nothing. A page is let in
 * that may read our answers as well: of this origin, or of one that the rules for other origins name, which are the
 * host's when it has some. When there are none, no page of another origin is.
 * @param isOpenToAll whether a rule for any origin counts: it is made for requests without cookies, and those come along here
 */
function isOriginAllowed (request: FastifyRequest, reply: FastifyReply, isOpenToAll: boolean): boolean {
  const { origin } = request.headers
  if (origin === undefined) return true
  const allowed = reply.getHeader('access-control-allow-origin')
  return (allowed === '*' && isOpenToAll) || allowed === origin || isSameHost(origin, request.host)
}

/** The scheme is not compared: a proxy may have taken TLS off. */
function isSameHost (origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false
  const page = new URL(origin)
  const own = `${page.protocol}//${host}`
  return page.host !== '' && URL.canParse(own) && new URL(own).host === page.host
}
