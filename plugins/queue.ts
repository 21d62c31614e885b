import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Engine } from '../services/queue/engine.ts'
import type { BufferOptions } from '../services/queue/engine.ts'
import type { ConnectionOptions } from '../services/database/connection.ts'
import { KeyRing } from '../services/encryption/key-ring.ts'
import { readKeys } from '../services/encryption/keys.ts'
import type { KeyOptions } from '../services/encryption/keys.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The queue engine. */
    queue: Engine
  }
}

export interface QueuePluginOptions extends KeyOptions {
  connection: ConnectionOptions
  safetyNetMs: number
  maxParkedPops: number
  dedupMemoryMb: number
  deliveryMemoryMb: number
  fileBufferMaxBatch: number
  fileBufferFlushMs: number
}

const MB = 1024 * 1024

function bufferOf ({ fileBuffer }: FastifyInstance, { fileBufferMaxBatch, fileBufferFlushMs }: QueuePluginOptions): BufferOptions | null {
  return fileBuffer === null || 'kept' in fileBuffer ? fileBuffer : { ...fileBuffer, drainBatch: fileBufferMaxBatch, drainPauseMs: fileBufferFlushMs }
}

/** The engine as a decorator: lanes, the poll-intention registry and notifications between processes. */
async function queuePlugin (app: FastifyInstance, options: QueuePluginOptions): Promise<void> {
  const engine = new Engine({
    pool: app.postgres,
    connection: options.connection,
    safetyNetMs: options.safetyNetMs,
    maxParkedPops: options.maxParkedPops,
    dedupBytes: options.dedupMemoryMb * MB,
    deliveryBytes: options.deliveryMemoryMb * MB,
    keys: new KeyRing(readKeys(options)),
    buffer: bufferOf(app, options),
    scopes: app.telemetry?.scopes ?? null,
    log: app.log
  })
  app.decorate('queue', engine)
  app.addHook('onReady', async () => { engine.start() })
  // Before the server waits for open requests: parked pops are open requests.
  app.addHook('preClose', async () => { await engine.stopPolling() })
  app.addHook('onClose', async () => { await engine.close() })
}

export default fp(queuePlugin, { name: 'regent-queue', fastify: '5.x', dependencies: ['regent-postgres', 'regent-schema', 'regent-file-buffer', 'regent-telemetry'] })
