#!/usr/bin/env node
import cluster from 'node:cluster'
import type { FastifyInstance } from 'fastify'
import { StartError, addService, createHttpServer, describeDatabase, explain, listen } from './http-server.ts'
import { startEmbeddedPostgres } from './services/embedded-postgres/start.ts'
import type { EmbeddedPostgres } from './services/embedded-postgres/start.ts'
import { followConnections, limitConnections } from './services/http/connections.ts'
import { optionsHelp, readEnvironment } from './services/options.ts'
import { packageVersion } from './services/package-root.ts'
import type { RegentOptions, ServerOptions } from './services/options.ts'
import { stopOnSignal } from './services/process/stop-on-signal.ts'
import type { BufferKeeper } from './services/shared-buffer/keeper.ts'
import { makeSocketPath, removeSocketPath } from './services/workers/main-socket.ts'
import { optionsOfMain, optionsOfWorker } from './services/workers/share.ts'
import type { ProcessRole } from './services/workers/role.ts'
import { Workers } from './services/workers/workers.ts'
import { CLIENTS_SHARE, ownDescriptors, runWorker } from './worker.ts'

// A unix socket refuses what does not fit at once, where TCP lets it wait. The system has a limit of its own.
const MAIN_BACKLOG = 65_535

type Environment = ReturnType<typeof readEnvironment>

/** How requests are served: by this process, or by workers. */
interface Serving {
  role: ProcessRole | undefined
  /** Begins to serve; returns the port. */
  start: (options: Partial<RegentOptions>) => Promise<number>
  /** Finish what was begun, then close the application. */
  finish: () => Promise<void>
}

/** `npm start`: options, the embedded database when none is configured, the service, signals, exit codes. */
async function main (): Promise<void> {
  if (cluster.isWorker) {
    await runWorker()
    return
  }
  if (process.argv.includes('--help')) {
    process.stdout.write(optionsHelp())
    return
  }
  const environment = readEnvironment(process.env)
  const app = createHttpServer(environment.server)
  app.log.info({ version: packageVersion(), node: process.version, workers: environment.server.workers }, 'Regent is starting')
  if (environment.withoutEffect.length > 0) app.log.warn({ variables: environment.withoutEffect }, 'these variables have no effect')
  await run(app, environment, environment.server.workers > 1 ? servedByWorkers(app, environment) : servedHere(app, environment))
}

async function run (app: FastifyInstance, { server, regent: options }: Environment, serving: Serving): Promise<void> {
  const usesOwn = options.databaseUrl !== undefined || options.databaseHost !== undefined
  let database: Promise<EmbeddedPostgres> | null = null
  let isServing = false

  const { stop, isStopping } = stopOnSignal(app.log, server.shutdownTimeoutMs, async () => {
    try {
      // Before it serves there is nothing to finish, and a start that waits for its database would hold this up.
      if (isServing) await serving.finish()
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
    const located = { ...options, ...locationOf(embedded) }
    const own = serving.role === undefined ? located : optionsOfMain(located)
    await addService(app, own, { isEmbedded: embedded !== null, role: serving.role })
    // From here on others may have begun something, even if not all of it is there.
    isServing = true
    const port = await serving.start(located)
    greet(app, embedded, server, options, port)
  } catch (error) {
    // What fails because it is being stopped is no failure.
    if (isStopping()) return
    await serving.finish()
    await stopDatabase()
    throw error
  }
}

function servedHere (app: FastifyInstance, { server, regent: { poolSize } }: Environment): Serving {
  limitConnections(app.server, ownDescriptors(poolSize), app.log)
  const dropConnections = followConnections(app.server, server.shutdownTimeoutMs * CLIENTS_SHARE)
  return {
    role: undefined,
    start: async () => await listen(app, server),
    finish: async () => {
      dropConnections()
      await app.close()
    }
  }
}

function servedByWorkers (app: FastifyInstance, { server }: Environment): Serving {
  limitConnections(app.server, ownDescriptors(optionsOfMain({}).poolSize), app.log)
  let keeper: BufferKeeper | null = null
  let workers: Workers | null = null
  let mainSocket: string | null = null
  let closeChannels = async (): Promise<void> => {}
  return {
    role: {
      kind: 'keeper',
      onBuffer: opened => { keeper = opened },
      onChannels: close => { closeChannels = close },
      reports: async () => await workers?.reports() ?? [],
      setLogLevel: level => { workers?.setLogLevel(level) }
    },
    start: async options => {
      mainSocket = makeSocketPath()
      const path = mainSocket
      await app.listen({ path, backlog: MAIN_BACKLOG })
      // The rest of the time is for what this process does for them.
      const share = { ...server, shutdownTimeoutMs: server.shutdownTimeoutMs * CLIENTS_SHARE }
      workers = new Workers({
        count: server.workers,
        startOf: number => ({ number, server: { ...share, logLevel: app.log.level }, regent: optionsOfWorker(options, number, server.workers), hasBuffer: keeper !== null, mainSocket: path }),
        keeper,
        log: app.log
      })
      return await workers.start().catch((error: Error) => { throw new StartError(error.message) })
    },
    finish: async () => {
      await closeChannels()
      await workers?.stop(server.shutdownTimeoutMs * CLIENTS_SHARE)
      await app.close()
      if (mainSocket !== null) removeSocketPath(mainSocket)
    }
  }
}

function locationOf (embedded: EmbeddedPostgres | null): Partial<RegentOptions> {
  return embedded === null
    ? {}
    : { databaseHost: embedded.socketDir, databasePort: embedded.port, databaseName: embedded.database, databaseUser: embedded.user }
}

function greet (app: FastifyInstance, embedded: EmbeddedPostgres | null, server: ServerOptions, options: Partial<RegentOptions>, port: number): void {
  const address = isEverywhere(server.host) ? 'localhost' : server.host.includes(':') ? `[${server.host}]` : server.host
  const url = `http://${address}:${port}${options.prefix ?? ''}`
  const database = embedded === null ? describeDatabase(options) : `embedded PostgreSQL ${embedded.version} in ${server.dataDir}`
  const { workers } = server
  app.log.info({ url, database, ...(workers > 1 ? { workers } : {}) }, 'Regent is ready')
  process.stdout.write(`
  Regent is ready:  ${url}
  Database:         ${database}
${workers > 1 ? `  Workers:          ${workers}\n` : ''}
  Try it:
    curl -X POST ${url}/api/v1/push -d '{"items":[{"queue":"hello","payload":{"n":1}}]}'
    curl '${url}/api/v1/pop/queue/hello?wait=true'

`)
}

function isEverywhere (host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(1)
}
