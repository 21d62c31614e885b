import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import auth from './plugins/auth.ts'
import channels from './plugins/channels.ts'
import cors from './plugins/cors.ts'
import documentation from './plugins/documentation.ts'
import errors from './plugins/errors.ts'
import fileBuffer from './plugins/file-buffer.ts'
import maintenance from './plugins/maintenance.ts'
import metrics from './plugins/metrics.ts'
import jobs from './plugins/jobs.ts'
import postgres from './plugins/postgres.ts'
import pressure from './plugins/pressure.ts'
import queue from './plugins/queue.ts'
import rateLimit from './plugins/rate-limit.ts'
import rawJson from './plugins/raw-json.ts'
import schema from './plugins/schema.ts'
import telemetry from './plugins/telemetry.ts'
import { ackRoutes } from './routes/ack.ts'
import { channelsSocketRoute } from './routes/channels-socket.ts'
import { channelRoutes } from './routes/channels.ts'
import { channelsStatusRoutes } from './routes/channels-status.ts'
import { analyticsRoutes } from './routes/analytics.ts'
import { groupRoutes } from './routes/groups.ts'
import { deadLetterRoutes } from './routes/dead-letters.ts'
import { documentationRoutes } from './routes/documentation.ts'
import { healthRoutes } from './routes/health.ts'
import { leaseRoutes } from './routes/lease.ts'
import { logLevelRoutes } from './routes/log-level.ts'
import { metricsRoutes } from './routes/metrics.ts'
import { prometheusRoute } from './routes/prometheus.ts'
import { messageRoutes } from './routes/messages.ts'
import { popRoutes } from './routes/pop.ts'
import { pushRoutes } from './routes/push.ts'
import { queueRoutes } from './routes/queues.ts'
import { resourceRoutes } from './routes/resources.ts'
import { traceRoutes } from './routes/traces.ts'
import { statusRoutes } from './routes/status.ts'
import { systemRoutes } from './routes/system.ts'
import { throughMainRoutes } from './routes/through-main.ts'
import { transactionRoutes } from './routes/transaction.ts'
import type { Authorize } from './services/auth/caller.ts'
import { throughPooler } from './services/database/connection.ts'
import type { ConnectionOptions } from './services/database/connection.ts'
import { RegentError } from './services/errors.ts'
import { serializers } from './services/logging/logger-options.ts'
import { SECURITY_HEADERS } from './services/http/security-headers.ts'
import { readRegentOptions } from './services/options.ts'
import type { RegentOptions } from './services/options.ts'
import type { Administered } from './services/embedded-groups.ts'
import { EmbeddedQueue } from './services/embedded-queue.ts'
import type { ProcessRole } from './services/workers/role.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Regent's queue for the code around it; named by the option `decorator`. */
    regent: EmbeddedQueue
  }
}

/** What the plugin is registered with. */
export type RegentPluginOptions = Partial<RegentOptions> & {
  /** Decides, instead of tokens, about every request to a route that is not public. */
  authorize?: Authorize<FastifyRequest>
  /** Set by `npm start`: the application logs for the service alone. */
  ownsLogger?: boolean
  /** Set by `npm start` where several processes are one server. */
  role?: ProcessRole
}

const LONGEST_NAME = 255

/**
 * The service as one Fastify plugin. The host gets one decorator; routes, parsers, error handler and hooks live in an
 * encapsulated child under `prefix`.
 */
async function regent (host: FastifyInstance, { role, ownsLogger = false, ...given }: RegentPluginOptions): Promise<void> {
  const options = readRegentOptions(given)
  if (host.hasDecorator(options.decorator)) {
    throw new RegentError('RGT_OPTIONS_INVALID', { detail: `decorator: the application already has one called ${options.decorator}` })
  }
  let loaded: Administered | null = null
  let isClosing = false
  host.decorate(options.decorator, new EmbeddedQueue({
    loaded: () => loaded,
    isClosing: () => isClosing,
    maxBatchSize: options.maxBatchSize
  }))
  await host.register(async app => {
    if (!ownsLogger) useOwnLogger(app)
    app.addHook('preClose', async () => { isClosing = true })
    // Fastify says so only to requests that arrive later; a connection kept alive by an earlier one would hold up the close.
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (isClosing) reply.header('connection', 'close')
      // What the route or the host has to say itself stays.
      for (const [name, value] of SECURITY_HEADERS) if (!reply.hasHeader(name)) reply.header(name, value)
      done(null, payload)
    })
    await service(app, options, given.authorize, role)
    loaded = { engine: app.queue, pool: app.postgres }
  }, { prefix: options.prefix })
}

/** Everything, in the order in which it depends on one another. */
async function service (app: FastifyInstance, options: RegentOptions, authorize?: Authorize<FastifyRequest>, role?: ProcessRole): Promise<void> {
  const connection = connectionOptions(options)
  warnAboutShortParams(app)

  await app.register(telemetry)
  await app.register(errors, { maxBodyBytes: options.maxBodyBytes })
  await app.register(rawJson)
  await app.register(pressure, options)
  await app.register(cors)
  await app.register(fileBuffer, { ...options, role })
  await app.register(postgres, { connection: throughPooler(connection, options.databasePoolerUrl), poolSize: options.poolSize, callTimeoutMs: options.callTimeoutMs })
  await app.register(schema, { connection })
  await app.register(queue, { connection, ...options })
  await app.register(metrics, { ...options, role })
  await app.register(maintenance)
  // Where several processes are one server, the main one does what is to be done once.
  if (role?.kind !== 'worker') await app.register(jobs, { connection, ...options })
  if (role?.kind !== 'worker') await app.register(channels, options)
  await app.register(documentation, { ...options, isAuthorized: authorize !== undefined })
  await app.register(auth, { ...options, authorize })
  if (options.rateLimitRequests > 0) await app.register(rateLimit, options)

  app.addHook('onRoute', route => { route.bodyLimit ??= options.maxBodyBytes })
  // The prefix holds for this instance already; handed on, it would be added once more.
  const { prefix: _prefix, ...limits } = options
  if (options.documentation) await app.register(documentationRoutes)
  await app.register(healthRoutes, limits)
  await app.register(pushRoutes, limits)
  await app.register(popRoutes, limits)
  await app.register(ackRoutes, limits)
  await app.register(transactionRoutes, limits)
  await app.register(leaseRoutes)
  await app.register(queueRoutes)
  await app.register(statusRoutes, limits)
  if (role?.kind === 'worker') {
    await app.register(throughMainRoutes, { ...limits, mainSocket: role.mainSocket })
  } else {
    await app.register(channelsSocketRoute, { isOpenToAll: authorize === undefined })
    await app.register(channelsStatusRoutes)
    await app.register(channelRoutes, limits)
    role?.onChannels(app.channels.close)
    await app.register(logLevelRoutes, { tellOthers: role?.setLogLevel })
    await app.register(prometheusRoute, { ...limits, reportsOfOthers: role?.reports })
  }
  await app.register(analyticsRoutes)
  await app.register(metricsRoutes)
  await app.register(systemRoutes)
  await app.register(resourceRoutes)
  await app.register(messageRoutes)
  await app.register(deadLetterRoutes, limits)
  await app.register(traceRoutes, limits)
  await app.register(groupRoutes)
}

function connectionOptions (options: RegentOptions): ConnectionOptions {
  return {
    url: options.databaseUrl,
    host: options.databaseHost,
    port: options.databasePort,
    database: options.databaseName,
    user: options.databaseUser,
    password: options.databasePassword,
    ssl: options.databaseSsl ? options.databaseSslRejectUnauthorized ? 'strict' : 'relaxed' : undefined,
    schema: options.databaseSchema,
    applicationName: `regent ${options.workerId}`,
    connectTimeoutMs: options.connectTimeoutMs,
    // The server is to give up before the call's own deadline, which would cost the whole pool.
    statementTimeoutMs: Math.min(options.statementTimeoutMs, Math.floor(options.callTimeoutMs * 0.9)),
    lockTimeoutMs: Math.min(options.lockTimeoutMs, Math.floor(options.callTimeoutMs * 0.8))
  }
}

/**
 * A child of the host's logger: its level can be changed and its errors are logged without secrets, the host's logger stays as
 * it is. One without a level is used as it is.
 */
function useOwnLogger (app: FastifyInstance): void {
  if ((app.log as { level?: string }).level === undefined) return
  const log = app.log.child({}, { serializers })
  app.log = log
  app.setChildLoggerFactory((_logger, bindings, options) => log.child(bindings, options))
}

/** Names may be 255 characters long; Fastify's router refuses parameters above 100 unless its host was told otherwise. */
function warnAboutShortParams (app: FastifyInstance): void {
  const { routerOptions } = app.initialConfig
  const limit = routerOptions?.maxParamLength ?? 100
  if (limit < LONGEST_NAME) {
    app.log.warn({ maxParamLength: limit }, 'queue names longer than maxParamLength cannot be popped: raise routerOptions.maxParamLength of the Fastify instance')
  }
}

export default fp(regent, { name: 'regent', fastify: '5.x' })
