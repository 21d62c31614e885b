import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Pool } from '../services/database/pool.ts'
import type { ConnectionOptions } from '../services/database/connection.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The single pool to PostgreSQL, with a deadline on every call. */
    postgres: Pool
  }
}

export interface PostgresPluginOptions {
  connection: ConnectionOptions
  poolSize: number
  callTimeoutMs: number
}

const CLOSE_TIMEOUT_MS = 5000

async function postgresPlugin (app: FastifyInstance, { connection, poolSize, callTimeoutMs }: PostgresPluginOptions): Promise<void> {
  const pool = new Pool({ ...connection, poolSize, callTimeoutMs, tracer: app.telemetry?.database ?? null, log: app.log })
  app.decorate('postgres', pool)
  app.addHook('onClose', async () => { await pool.close(CLOSE_TIMEOUT_MS) })
}

export default fp(postgresPlugin, { name: 'regent-postgres', fastify: '5.x', dependencies: ['regent-telemetry'] })
