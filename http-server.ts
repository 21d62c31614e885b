import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import Fastify, { LogController } from 'fastify'
import type { FastifyInstance } from 'fastify'
import { codeOf, faultOf } from './services/database/faults.ts'
import type { RegentOptions, ServerOptions } from './services/options.ts'
import regent from './app.ts'
import { sendError } from './plugins/errors.ts'
import { addRequestSpans } from './plugins/request-spans.ts'
import { RegentError } from './services/errors.ts'
import { limitArrival } from './services/http/arrivals.ts'
import { dropWhenStalled, limitPipelining, refuseUnreadable } from './services/http/connections.ts'
import { REQUEST_ID, requestId } from './services/http/request-id.ts'
import { hideSecrets } from './services/logging/hide-secrets.ts'
import { loggerOptions } from './services/logging/logger-options.ts'
import { SECURITY_HEADERS } from './services/http/security-headers.ts'
import { hasTracerProvider, spanFields } from './services/telemetry/active.ts'
import type { ProcessRole } from './services/workers/role.ts'

// Names have up to 255 characters, each up to 12 when percent-encoded.
const MAX_PARAM_LENGTH = 4096
// How often clients are looked for that take too long to send a request's head.
const CHECK_INTERVAL_MS = 5_000

/** An error the operator can do something about; its message names the variable. */
export class StartError extends Error {
  readonly code = 'RGT_START'
  constructor (message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
  }
}

/** The Fastify instance that `npm start` serves Regent with. @param worker the number of a process that is one of several */
export function createHttpServer (server: ServerOptions, worker?: number): FastifyInstance {
  const app = Fastify({
    logger: { ...loggerOptions(server.logLevel, worker), ...(hasTracerProvider() ? { mixin: spanFields } : {}) },
    genReqId: requestId,
    // One line per request costs more than the request; metrics count them.
    logController: new LogController({ disableRequestLogging: true }),
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    requestTimeout: server.requestTimeoutMs,
    keepAliveTimeout: server.keepAliveTimeoutMs,
    // The start waits for its database and for other instances' migrations, each with a deadline of its own.
    pluginTimeout: 0,
    // Parked polls are answered while closing, so requests that still arrive are served rather than refused.
    return503OnClosing: false,
    // A path that cannot be decoded belongs to no route and so to no plugin's error handler.
    frameworkErrors: (error, request, reply) => {
      reply.header(REQUEST_ID, request.id)
      void sendError(reply.headers(Object.fromEntries(SECURITY_HEADERS)), new RegentError('RGT_REQUEST_INVALID', { detail: error.message, field: 'path', cause: error }))
    },
    clientErrorHandler: refuseUnreadable,
    http: { maxHeaderSize: server.maxHeaderBytes, headersTimeout: server.headersTimeoutMs, connectionsCheckingInterval: CHECK_INTERVAL_MS }
  })
  const arrivals = limitArrival(app.server)
  app.addHook('onRequest', (request, reply, done) => {
    reply.header(REQUEST_ID, request.id)
    if (request.routeOptions.config.isStreamed === true) arrivals.exempt(request.raw)
    done()
  })
  app.addHook('onResponse', (request, _reply, done) => {
    // What still comes of it nobody reads.
    if (request.routeOptions.config.isStreamed === true) arrivals.watch(request.raw)
    done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    // What is still being made may pause; whoever makes it sees to a client that does not read it.
    if (request.routeOptions.config.isStreamed === true && payload instanceof Readable) payload.once('end', () => { dropWhenStalled(reply.raw) })
    else dropWhenStalled(reply.raw)
    done()
  })
  limitPipelining(app.server)
  return app
}

export interface ServiceSetting {
  /** Its database is the embedded one: there are no variables that could be wrong. */
  isEmbedded: boolean
  role: ProcessRole | undefined
}

/** Registers the service. @throws StartError when the configured database cannot be used */
export async function addService (app: FastifyInstance, options: Partial<RegentOptions>, { isEmbedded, role }: ServiceSetting): Promise<void> {
  try {
    await addRequestSpans(app)
    await app.register(regent, { ...options, ownsLogger: true, ...(role === undefined ? {} : { role }) })
  } catch (error) {
    const variable = options.databaseUrl === undefined ? 'PG_HOST' : 'DATABASE_URL'
    const code = codeOf(error)
    // Five characters: the database's own word on it, such as a wrong password.
    if (isEmbedded || (faultOf(error) === 'refused' && !/^[0-9A-Z]{5}$/.test(code))) throw error
    throw new StartError(`${variable}: the database at ${describeDatabase(options)} cannot be used: ${(error as Error).message || code}`, error)
  }
}

/** Begins to serve; returns the port. @throws StartError naming the variable at fault */
export async function listen (app: FastifyInstance, { port, host }: ServerOptions): Promise<number> {
  try {
    await app.listen({ port, host })
    return (app.server.address() as AddressInfo).port // it listens on TCP
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EADDRINUSE' || code === 'EACCES') throw new StartError(`PORT: ${(error as Error).message}`, error)
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') throw new StartError(`HOST: ${(error as Error).message}`, error)
    throw error
  }
}

/** The configured database, without its password. */
export function describeDatabase ({ databaseUrl, databaseHost, databasePort, databaseName }: Partial<RegentOptions>): string {
  if (databaseUrl === undefined) return `${databaseHost}:${databasePort}/${databaseName}`
  const { host, pathname, searchParams } = new URL(databaseUrl)
  return `${searchParams.get('host') ?? host}${pathname}`
}

/** What the operator can do something about is said in one sentence; anything else with its stack. Neither holds secrets. */
export function explain (error: unknown): string {
  if (!(error instanceof Error)) return hideSecrets(String(error))
  return hideSecrets(codeOf(error).startsWith('RGT_') ? error.message : error.stack ?? error.message)
}
