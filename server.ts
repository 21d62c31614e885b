#!/usr/bin/env node
import type { AddressInfo } from 'node:net'
import Fastify, { LogController } from 'fastify'
import type { FastifyInstance } from 'fastify'
import closeWithGrace from 'close-with-grace'
import { codeOf, faultOf } from './services/database/faults.ts'
import { optionsHelp, readEnvironment } from './services/options.ts'
import type { RegentOptions, ServerOptions } from './services/options.ts'
import { startEmbeddedPostgres } from './services/embedded-postgres/start.ts'
import type { EmbeddedPostgres } from './services/embedded-postgres/start.ts'
import regent from './app.ts'
import { sendError } from './plugins/errors.ts'
import { RegentError } from './services/errors.ts'
import { dropWhenStalled, followConnections, limitConnections, limitPipelining, refuseUnreadable } from './services/http/connections.ts'

// Names have up to 255 characters, each up to 12 when percent-encoded.
const MAX_PARAM_LENGTH = 4096
// Clients that take longer to send a request's head, or the whole of it, are let go. What they wait for counts for
// neither, nor for the time an idle connection is kept: a long poll may last as long as it asks for.
const HEAD_TIMEOUT_MS = 20_000
const REQUEST_TIMEOUT_MS = 60_000
// How often that is looked for.
const CHECK_INTERVAL_MS = 5_000
// Longer than the minute that proxies keep theirs: they would send a request on a connection that is just being closed.
const KEEP_ALIVE_MS = 72_000
// Files and sockets beside clients' connections: the buffer's files, the listener, what is opened for a moment. The pool
// comes on top, twice: it is replaced whole.
const OWN_DESCRIPTORS = 60
// ^C reaches a process twice when npm runs it: from the terminal and from npm. What comes later is meant.
const SAME_SIGNAL_MS = 1000
// The part of the shutdown's time that clients get to finish; the rest is for the database.
const CLIENTS_SHARE = 0.7

/** `npm start`: options, the embedded database when none is configured, the plugin, signals, exit codes. */
async function main (): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(optionsHelp())
    return
  }
  const { server, regent: options, withoutEffect } = readEnvironment(process.env)
  const app = createApp(server)
  if (withoutEffect.length > 0) app.log.warn({ variables: withoutEffect }, 'these variables have no effect')
  limitPipelining(app.server)
  limitConnections(app.server, OWN_DESCRIPTORS + 2 * (options.poolSize ?? 0), app.log)
  const dropConnections = followConnections(app.server, server.shutdownTimeoutMs * CLIENTS_SHARE)
  const usesOwn = options.databaseUrl !== undefined || options.databaseHost !== undefined
  let database: Promise<EmbeddedPostgres> | null = null
  let isListening = false

  const { stop, isStopping } = stopOnSignal(app, server.shutdownTimeoutMs, async () => {
    try {
      // Before it listens there is nothing to finish, and a start that waits for its database would hold this up.
      if (isListening) {
        dropConnections()
        await app.close()
      }
    } finally {
      await stopDatabase()
    }
  })
  async function stopDatabase (): Promise<void> {
    const running = await database?.catch(() => null)
    await running?.stop()
  }

  try {
    database = usesOwn ? null : startEmbeddedPostgres({ dataDir: server.dataDir, log: app.log })
    const embedded = await database
    void embedded?.exited.then(({ expected, code, signal }) => {
      // Its data is safe on disk; a restart of the process recovers it.
      if (!expected) stop(new Error(`the embedded PostgreSQL ended unexpectedly (${signal ?? `exit code ${code}`})`))
    })
    await connect(app, options, embedded)
    await listen(app, server)
    isListening = true
    greet(app, embedded, server, options)
  } catch (error) {
    // What fails because it is being stopped is no failure.
    if (isStopping()) return
    await app.close()
    await stopDatabase()
    throw error
  }
}

function createApp (server: ServerOptions): FastifyInstance {
  const app = Fastify({
    logger: { level: server.logLevel },
    // One line per request costs more than the request; metrics count them.
    logController: new LogController({ disableRequestLogging: true }),
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // The start waits for its database and for other instances' migrations, each with a deadline of its own.
    pluginTimeout: 0,
    // Parked polls are answered while closing, so requests that still arrive are served rather than refused.
    return503OnClosing: false,
    // A path that cannot be decoded belongs to no route and so to no plugin's error handler.
    frameworkErrors: (error, _request, reply) => {
      void sendError(reply, new RegentError('RGT_REQUEST_INVALID', { detail: error.message, field: 'path', cause: error }))
    },
    clientErrorHandler: refuseUnreadable,
    http: { maxHeaderSize: server.maxHeaderBytes, headersTimeout: HEAD_TIMEOUT_MS, connectionsCheckingInterval: CHECK_INTERVAL_MS }
  })
  app.addHook('onSend', (_request, reply, _payload, done) => {
    dropWhenStalled(reply.raw)
    done()
  })
  return app
}

async function connect (app: FastifyInstance, options: Partial<RegentOptions>, embedded: EmbeddedPostgres | null): Promise<void> {
  const target = embedded === null
    ? {}
    : { databaseHost: embedded.socketDir, databasePort: embedded.port, databaseName: embedded.database, databaseUser: embedded.user }
  try {
    await app.register(regent, { ...options, ...target })
  } catch (error) {
    const variable = options.databaseUrl === undefined ? 'PG_HOST' : 'DATABASE_URL'
    const code = codeOf(error)
    // Five characters: the database's own word on it, such as a wrong password.
    if (embedded !== null || (faultOf(error) === 'refused' && !/^[0-9A-Z]{5}$/.test(code))) throw error
    throw new StartError(`${variable}: the database at ${describe(options)} cannot be used: ${(error as Error).message || code}`, error)
  }
}

async function listen (app: FastifyInstance, { port, host }: ServerOptions): Promise<void> {
  try {
    await app.listen({ port, host })
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EADDRINUSE' || code === 'EACCES') throw new StartError(`PORT: ${(error as Error).message}`, error)
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') throw new StartError(`HOST: ${(error as Error).message}`, error)
    throw error
  }
}

/** An error the operator can do something about; its message names the variable. */
class StartError extends Error {
  readonly code = 'RGT_START'
  constructor (message: string, cause: unknown) {
    super(message, { cause })
  }
}

/**
 * Ends the process when it is told to or after an unexpected error: once, in order, with exit code 0 or 1.
 * @returns `stop` does the same for a failure found otherwise
 */
function stopOnSignal (app: FastifyInstance, timeoutMs: number, finish: () => Promise<void>): { stop: (failure: Error) => void, isStopping: () => boolean } {
  let stoppedAt: number | null = null
  let failure: Error | null = null

  const grace = closeWithGrace({
    delay: timeoutMs,
    logger: false,
    skip: ['SIGINT', 'SIGTERM'],
    onTimeout: () => { app.log.fatal({ timeoutMs }, 'stopping took longer than SHUTDOWN_TIMEOUT and is broken off') },
    onSecondError: error => { app.log.fatal({ err: error }, 'a second error while stopping') }
  }, async ({ err, signal }) => {
    stoppedAt ??= performance.now()
    failure ??= err ?? null
    if (failure !== null) app.log.fatal({ err: failure }, 'stopping after an unexpected error')
    else if (signal !== undefined) app.log.info({ signal }, 'stopping')
    try {
      await finish()
    } catch (error) {
      app.log.fatal({ err: error }, 'stopping failed')
      throw error
    }
    // Thrown again for the exit code.
    if (failure !== null) throw failure
    app.log.info('stopped')
  })

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stoppedAt === null) {
        stoppedAt = performance.now()
        app.log.info({ signal }, 'stopping')
        grace.close()
      } else if (performance.now() - stoppedAt > SAME_SIGNAL_MS) {
        app.log.fatal({ signal }, 'stopped at once by a second signal')
        process.exit(1)
      }
    })
  }
  return {
    stop: found => {
      if (stoppedAt !== null) return
      stoppedAt = performance.now()
      failure = found
      grace.close()
    },
    isStopping: () => stoppedAt !== null
  }
}

function greet (app: FastifyInstance, embedded: EmbeddedPostgres | null, server: ServerOptions, options: Partial<RegentOptions>): void {
  const { port } = app.server.address() as AddressInfo // it listens on TCP
  const address = isEverywhere(server.host) ? 'localhost' : server.host.includes(':') ? `[${server.host}]` : server.host
  const url = `http://${address}:${port}${options.prefix ?? ''}`
  const database = embedded === null ? describe(options) : `embedded PostgreSQL ${embedded.version} in ${server.dataDir}`
  app.log.info({ url, database }, 'Regent is ready')
  process.stdout.write(`
  Regent is ready:  ${url}
  Database:         ${database}

  Try it:
    curl -X POST ${url}/api/v1/push -d '{"items":[{"queue":"hello","payload":{"n":1}}]}'
    curl '${url}/api/v1/pop/queue/hello?wait=true'

`)
}

function isEverywhere (host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** The configured database, without its password. */
function describe ({ databaseUrl, databaseHost, databasePort, databaseName }: Partial<RegentOptions>): string {
  if (databaseUrl === undefined) return `${databaseHost}:${databasePort}/${databaseName}`
  const { host, pathname, searchParams } = new URL(databaseUrl)
  return `${searchParams.get('host') ?? host}${pathname}`
}

/** What the operator can do something about is said in one sentence; anything else with its stack. */
function explain (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return codeOf(error).startsWith('RGT_') ? error.message : error.stack ?? error.message
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(1)
}
