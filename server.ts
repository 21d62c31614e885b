#!/usr/bin/env node
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { codeOf } from './services/database/faults.ts'
import { optionsHelp, readEnvironment } from './services/options.ts'
import type { ServerOptions } from './services/options.ts'
import { startEmbeddedPostgres } from './services/embedded-postgres/start.ts'
import type { EmbeddedPostgres } from './services/embedded-postgres/start.ts'
import regent from './app.ts'
import closeWithGrace from 'close-with-grace'

// Names have up to 255 characters, each up to 12 when percent-encoded.
const MAX_PARAM_LENGTH = 4096
// A client that sends its head or body slower than this is let go.
const REQUEST_TIMEOUT_MS = 60_000

/** `npm start`: options, the embedded database when none is configured, the plugin, signals, exit codes. */
async function main (): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(optionsHelp())
    return
  }
  const { server, regent: options } = readEnvironment(process.env)
  const app = createApp(server)
  const usesOwn = options.databaseUrl !== undefined || options.databaseHost !== undefined
  const embedded = usesOwn ? null : await startEmbeddedPostgres({ dataDir: server.dataDir, log: app.log })
  let stopDatabase = async (): Promise<void> => { await embedded?.stop() }

  closeWithGrace({ delay: server.shutdownTimeoutMs, logger: false }, async ({ err, signal }) => {
    if (err !== undefined) app.log.fatal({ err }, 'stopping after an unexpected error')
    else app.log.info({ signal }, 'stopping')
    try {
      await app.close()
    } finally {
      await stopDatabase()
    }
  })
  void embedded?.exited.then(({ expected, code, signal }) => {
    if (expected) return
    // Its data is safe on disk; a restart of the process recovers it.
    app.log.fatal({ code, signal }, 'the embedded PostgreSQL ended unexpectedly')
    stopDatabase = async () => {}
    process.exitCode = 1
    process.kill(process.pid, 'SIGTERM')
  })

  try {
    await app.register(regent, embedded === null
      ? options
      : { ...options, databaseHost: embedded.socketDir, databasePort: embedded.port, databaseName: embedded.database, databaseUser: embedded.user })
    await app.listen({ port: server.port, host: server.host })
  } catch (error) {
    await app.close()
    await stopDatabase()
    throw error
  }
  greet(app, embedded, server, options.databaseUrl === undefined ? `${options.databaseHost}/${options.databaseName}` : describe(options.databaseUrl))
}

function createApp (server: ServerOptions): FastifyInstance {
  return Fastify({
    logger: { level: server.logLevel },
    // One line per request costs more than the request; metrics count them.
    disableRequestLogging: true,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Parked polls are answered while closing, so requests that still arrive are served rather than refused.
    return503OnClosing: false,
    http: { maxHeaderSize: server.maxHeaderBytes }
  })
}

function greet (app: FastifyInstance, embedded: EmbeddedPostgres | null, server: ServerOptions, own: string): void {
  const { port } = app.server.address() as AddressInfo // it listens on TCP
  const url = `http://${isEverywhere(server.host) ? 'localhost' : server.host}:${port}`
  const database = embedded === null ? own : `embedded PostgreSQL ${embedded.version} in ${server.dataDir}`
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

/** A connection string without its password. */
function describe (databaseUrl: string): string {
  const { host, pathname } = new URL(databaseUrl)
  return `${host}${pathname}`
}

/** What the operator can do something about is said in one sentence; anything else with its stack. */
function explain (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = codeOf(error)
  if (code.startsWith('RGT_')) return error.message
  if (code === 'EADDRINUSE') return `PORT: ${error.message}`
  return error.stack ?? error.message
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(1)
}
