import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { RegentError } from '../services/errors.ts'

export interface RateLimitPluginOptions {
  rateLimitRequests: number
  rateLimitWindowMs: number
}

// Clients that are counted at once, in some 10 MB. Of more than these, the one heard of least recently begins anew.
const MOST_CLIENTS = 50_000
// Work whose acknowledgement, longer lease or reply is refused is done twice; and who looks whether the service is well is to
// find out how it is.
const NEVER_LIMITED: readonly string[] = [
  '/api/v1/ack', '/api/v1/ack/batch', '/api/v1/lease/:leaseId/extend', '/api/v1/channels/:channel/requests/:id/reply',
  '/health', '/metrics', '/metrics/prometheus'
]

/** Whether a route answers however many requests a client sends. @param path without the prefix */
export function isNeverLimited (path: string): boolean {
  return NEVER_LIMITED.includes(path)
}

/**
 * Answers 429 to a client that sends more requests than allowed within a window, with the time until the next one begins as
 * `Retry-After`. Counted in this process alone, after authentication, on the routes that are registered from here on.
 */
async function rateLimitPlugin (app: FastifyInstance, { rateLimitRequests, rateLimitWindowMs }: RateLimitPluginOptions): Promise<void> {
  const prefix = app.prefix.replace(/\/$/, '')
  const neverLimited = new Set<string | undefined>(NEVER_LIMITED.map(path => prefix + path))
  await app.register(rateLimit, {
    max: rateLimitRequests,
    timeWindow: rateLimitWindowMs,
    cache: MOST_CLIENTS,
    keyGenerator: clientOf,
    // Not by the config of the routes: a host with this plugin would be told not to limit them either.
    allowList: request => neverLimited.has(request.routeOptions.url),
    errorResponseBuilder: () => new RegentError('RGT_RATE_LIMITED')
  })
}

/** Whom a request is counted for: the subject it was authenticated as, else the address it comes from. */
function clientOf ({ regentCaller, ip }: FastifyRequest): string {
  const subject = regentCaller?.subject ?? null
  if (subject !== null) return `subject ${subject}`
  // Whatever its type says: there is none on a unix socket, nor once the connection has gone.
  const address = ip as string | undefined
  return address === undefined ? 'no address' : `address ${normalizeIP(address)}`
}

export default fp(rateLimitPlugin, { name: 'regent-rate-limit', fastify: '5.x', dependencies: ['regent-auth'] })
