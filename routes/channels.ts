import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { contextOf } from '../plugins/telemetry.ts'
import { HttpChannels } from '../services/channels-http/http-channels.ts'
import type { Id } from '../services/channels/wire.ts'
import { channelIdOf } from '../services/client/channel-id.ts'
import { connectLocally } from '../services/client/connect-locally.ts'
import { fieldError } from '../services/json/field-error.ts'
import { checkUuid } from '../services/json/names.ts'
import { headersOfContext } from '../services/trace-context/trace-context.ts'
import { Query } from './query.ts'
import { channelSchemas } from './schemas/channels.ts'
import { bodyOf, goneSignal, leaveBodiesUnread, streamed } from './streamed.ts'

export interface ChannelRouteOptions {
  channelsDefaultTimeoutMs: number
  channelsStallMs: number
  channelsCloseMs: number
}

const REQUESTS = '/api/v1/channels/:channel/requests'

interface OfChannel { Params: { channel: string } }
interface OfRequest { Params: { channel: string, id: string } }

/** Requests and replies of channels over HTTP: sent, received and replied to, each with a body of any length. */
export async function channelRoutes (app: FastifyInstance, options: ChannelRouteOptions): Promise<void> {
  const { broker } = app.channels
  const channels = new HttpChannels({
    connect: connectLocally(broker, 'http'),
    hasRoom: () => !broker.isFull,
    remainingMs: (senderId, requestId) => broker.remainingMs(senderId, requestId),
    stallMs: options.channelsStallMs,
    closeMs: options.channelsCloseMs
  })
  leaveBodiesUnread(app)
  const schemas = channelSchemas(options)

  app.post<OfChannel>(REQUESTS, { config: { ...streamed, access: 'write' }, schema: schemas.send }, async (request, reply) => {
    const channelId = channelOf(request.params)
    const timeoutMs = timeoutOf(new Query(request), options)
    const answer = await channels.send(channelId, bodyOf(request, reply), timeoutMs, goneSignal(request, reply), contextOf(app, request))
    return await reply.type('application/octet-stream').send(answer)
  })

  // Nor a HEAD route: it would take a request and throw it away. What drains work goes on under pressure.
  app.get<OfChannel>(`${REQUESTS}/next`, { config: { ...streamed, ...exemptFromPressure, access: 'write' }, schema: schemas.next, exposeHeadRoute: false }, async (request, reply) => {
    const query = new Query(request)
    const channelId = channelOf(request.params)
    const gone = goneSignal(request, reply)
    const held = await channels.next(channelId, query.flag('wait') ? timeoutOf(query, options) : 0, gone)
    if (held === null) return await reply.code(204).send()
    const { id } = held
    const accept = async (): Promise<Readable> => await held.accept()
    // Read when the answer may begin, after those before it on the connection: then the request is this receiver's.
    async function * message (): AsyncGenerator<Buffer> {
      if (reply.raw.socket === null) await once(reply.raw, 'socket', { signal: gone })
      const body = await accept()
      reply.raw.flushHeaders()
      yield * body as AsyncIterable<Buffer> // nothing decodes it
    }
    return await reply.headers({
      // Browsers would not show them to scripts of other origins.
      'access-control-expose-headers': 'x-channel-request, x-channel-timeout, location, traceparent, tracestate',
      'x-channel-request': id,
      'x-channel-timeout': held.remainingMs,
      ...headersOfContext(held.context),
      location: `${app.prefix}${REQUESTS.replace(':channel', request.params.channel)}/${id}/reply`
    }).type('application/octet-stream').send(Readable.from(message(), { objectMode: false }))
  })

  app.post<OfRequest>(`${REQUESTS}/:id/reply`, { config: { ...streamed, ...exemptFromPressure, access: 'write' }, schema: schemas.reply }, async (request, reply) => {
    const id = checkUuid(request.params.id, 'id')
    await channels.reply(channelOf(request.params), id, bodyOf(request, reply), goneSignal(request, reply))
    return { success: true }
  })
}

function channelOf ({ channel }: { channel: string }): Id {
  const uuid = checkUuid(channel, 'channel')
  if (/^[0-]*$/.test(uuid)) throw fieldError('channel', 'range', 'must not be the nil UUID')
  return channelIdOf(uuid)
}

/** In milliseconds; what is not above zero is taken for none given. */
function timeoutOf (query: Query, { channelsDefaultTimeoutMs }: ChannelRouteOptions): number {
  const timeoutMs = query.integer('timeout', channelsDefaultTimeoutMs)
  return timeoutMs > 0 ? timeoutMs : channelsDefaultTimeoutMs
}
