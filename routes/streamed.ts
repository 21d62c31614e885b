import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { onceGone } from './once-gone.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its body or answer goes on for as long as somebody else makes it: the server's limits for slow clients do not hold. */
    isStreamed?: boolean
  }
}

/** For `config` of a route whose body or answer is as long as it likes, and as slow. */
export const streamed = { isStreamed: true }

/** Leaves the bodies of these routes where they are, unread and whatever their type: in `request.raw`. */
export function leaveBodiesUnread (app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => { done(null) })
}

/**
 * The body as it comes. Who stops reading it does not end the connection: the answer has to go out, and what comes of the
 * body after that is dropped.
 */
export function bodyOf (request: FastifyRequest, reply: FastifyReply): AsyncIterable<Buffer> {
  const { raw } = request
  // A listener, as flowing alone is undone when a reader leaves.
  reply.raw.once('finish', () => { raw.on('data', () => {}).resume() })
  return raw.iterator({ destroyOnReturn: false })
}

/** Aborted when the client has gone without the whole answer. */
export function goneSignal (request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  onceGone(request, reply, () => { controller.abort() })
  return controller.signal
}
