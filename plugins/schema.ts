import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { setTimeout as delay } from 'node:timers/promises'
import { migrate } from '../services/database/migrate.ts'
import type { ConnectionOptions } from '../services/database/connection.ts'
import { faultOf } from '../services/database/faults.ts'

export interface SchemaPluginOptions { connection: ConnectionOptions }

// A database that starts together with the service is waited for; one that is misconfigured is reported at once.
const WAIT_FOR_DATABASE_MS = 30_000
const PAUSE_MS = 500
// The host gives up on a plugin that takes longer than its pluginTimeout and cannot say why: be earlier.
const HOSTS_TIME_SHARE = 0.7

/** Brings the schema up to date before anything else uses it. */
async function schemaPlugin (app: FastifyInstance, { connection }: SchemaPluginOptions): Promise<void> {
  const hostsTimeoutMs = app.initialConfig.pluginTimeout ?? 0
  const until = performance.now() + Math.min(WAIT_FOR_DATABASE_MS, hostsTimeoutMs > 0 ? hostsTimeoutMs * HOSTS_TIME_SHARE : Infinity)
  for (;;) {
    try {
      const applied = await migrate(connection)
      if (applied.length > 0) app.log.info({ applied, schema: connection.schema }, 'database schema brought up to date')
      return
    } catch (error) {
      const fault = faultOf(error)
      if (fault === 'refused' || performance.now() + PAUSE_MS > until) throw error
      app.log.warn({ err: error }, 'the database cannot be reached yet')
      await delay(PAUSE_MS)
    }
  }
}

export default fp(schemaPlugin, { name: 'regent-schema', fastify: '5.x' })
