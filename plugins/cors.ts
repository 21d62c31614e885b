import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

// What @fastify/cors leaves on the requests of an application that uses it.
const MARK_OF_A_HOST = 'corsPreflightEnabled'
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'access-control-allow-headers': 'Content-Type, Authorization, traceparent, tracestate',
  'access-control-max-age': '86400',
  // Some browsers wait for a body otherwise.
  'content-length': '0'
}

/**
 * Browsers' dashboards call from anywhere; no credentials are ever involved. A host that has rules of its own keeps them.
 * @fastify/cors would answer OPTIONS beyond the prefix as well, as its route has no slash: /mq* is also /mq-admin.
 */
async function corsPlugin (app: FastifyInstance): Promise<void> {
  if (app.hasRequestDecorator(MARK_OF_A_HOST)) return
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('access-control-allow-origin', '*')
    done()
  })
  app.options('/*', { config: { access: 'public' }, schema: { hide: true } }, async (_request, reply) => await reply.code(204).headers(PREFLIGHT).send())
}

export default fp(corsPlugin, { name: 'regent-cors', fastify: '5.x' })
