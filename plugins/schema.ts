import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { setTimeout as delay } from 'node:timers/promises'
import { migrate } from '../services/database/migrate.ts'
import type { ConnectionOptions } from '../services/database/connection.ts'
import { faultOf } from '../services/database/faults.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Settles when the schema is up to date, which may be long after the start; rejects when the application closes first. */
    schemaReady: Promise<void>
  }
}

export interface SchemaPluginOptions { connection: ConnectionOptions }

// A database that starts together with the service is waited for; one that is misconfigured is reported at once.
const WAIT_FOR_DATABASE_MS = 30_000
// With a file buffer pushes can be taken meanwhile.
const WAIT_WITH_BUFFER_MS = 3000
const PAUSE_MS = 500
// The host gives up on a plugin that takes longer than its pluginTimeout and cannot say why: be earlier.
const HOSTS_TIME_SHARE = 0.7
const REMIND_MS = 30_000

/** Brings the schema up to date before anything else uses it: at the start, or as soon as the database is there. */
async function schemaPlugin (app: FastifyInstance, { connection }: SchemaPluginOptions): Promise<void> {
  const hostsTimeoutMs = app.initialConfig.pluginTimeout ?? 0
  const patienceMs = app.fileBuffer === null ? WAIT_FOR_DATABASE_MS : WAIT_WITH_BUFFER_MS
  const until = performance.now() + Math.min(patienceMs, hostsTimeoutMs > 0 ? hostsTimeoutMs * HOSTS_TIME_SHARE : Infinity)
  const closing = new AbortController()
  app.addHook('onClose', async () => { closing.abort() })
  for (;;) {
    try {
      await bringUpToDate(app, connection)
      app.decorate('schemaReady', Promise.resolve())
      return
    } catch (error) {
      const fault = faultOf(error)
      if (fault === 'refused' || fault === 'denied') throw error
      if (performance.now() + PAUSE_MS > until) {
        if (app.fileBuffer === null) throw error
        break
      }
      app.log.warn({ err: error }, 'the database cannot be reached yet')
      await delay(PAUSE_MS)
    }
  }
  app.log.warn('starting without the database: pushes are buffered until it can be reached')
  app.postgres.hold()
  const ready = later(app, connection, closing.signal)
  ready.catch(() => {})
  app.decorate('schemaReady', ready)
}

async function bringUpToDate (app: FastifyInstance, connection: ConnectionOptions): Promise<void> {
  const applied = await migrate(connection)
  if (applied.length > 0) app.log.info({ applied, schema: connection.schema }, 'database schema brought up to date')
}

/** Whatever is wrong may be put right while pushes are taken: nothing but the end of the process ends this. */
async function later (app: FastifyInstance, connection: ConnectionOptions, signal: AbortSignal): Promise<void> {
  let saidAt = performance.now()
  for (;;) {
    await delay(PAUSE_MS, undefined, { signal })
    try {
      await bringUpToDate(app, connection)
      app.postgres.letGo()
      return
    } catch (error) {
      if (performance.now() - saidAt < REMIND_MS) continue
      saidAt = performance.now()
      app.log.error({ err: error }, 'the database still cannot be used')
    }
  }
}

export default fp(schemaPlugin, { name: 'regent-schema', fastify: '5.x', dependencies: ['regent-postgres', 'regent-file-buffer'] })
