import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { ConnectionOptions } from '../services/database/connection.ts'
import { jobsOf } from '../services/jobs/jobs.ts'
import type { JobSettings } from '../services/jobs/jobs.ts'
import { JobRunner } from '../services/jobs/runner.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The background jobs; one instance among several runs them. */
    jobs: JobRunner
  }
}

export interface JobsPluginOptions extends JobSettings {
  connection: ConnectionOptions
  callTimeoutMs: number
}

const LOCK_RETRY_MS = 10_000

/** Retention, eviction and clearing up as one decorator. */
async function jobsPlugin (app: FastifyInstance, options: JobsPluginOptions): Promise<void> {
  const runner = new JobRunner({
    connection: options.connection,
    callTimeoutMs: options.callTimeoutMs,
    lockRetryMs: LOCK_RETRY_MS,
    jobs: jobsOf(options),
    log: app.log
  })
  app.decorate('jobs', runner)
  // Rejected when the application closes before there is a schema: then there is nothing to start.
  app.addHook('onReady', async () => { void app.schemaReady.then(() => { runner.start() }, () => {}) })
  app.addHook('onClose', async () => { await runner.close() })
}

export default fp(jobsPlugin, { name: 'regent-jobs', fastify: '5.x', dependencies: ['regent-schema'] })
