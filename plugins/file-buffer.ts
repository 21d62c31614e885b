import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { openBuffer } from '../services/failover/open.ts'

type OpenBuffer = Awaited<ReturnType<typeof openBuffer>>

declare module 'fastify' {
  interface FastifyInstance {
    /** Where pushes go while the database is away, and what it held at the start; null when there is none. */
    fileBuffer: OpenBuffer | null
  }
}

export interface FileBufferPluginOptions {
  fileBufferDir: string | undefined
  fileBufferMaxMb: number
  fileBufferEventsPerFile: number
}

const MB = 1024 * 1024

/** The folder of the file buffer, held by this process alone until it ends. Closed after the engine that writes to it. */
async function fileBufferPlugin (app: FastifyInstance, { fileBufferDir, fileBufferMaxMb, fileBufferEventsPerFile }: FileBufferPluginOptions): Promise<void> {
  const buffer = fileBufferDir === undefined
    ? null
    : await openBuffer({ directory: fileBufferDir, maxBytes: fileBufferMaxMb * MB, fileRecords: fileBufferEventsPerFile, log: app.log })
  app.decorate('fileBuffer', buffer)
  app.addHook('onClose', async () => { await buffer?.files.close() })
}

export default fp(fileBufferPlugin, { name: 'regent-file-buffer', fastify: '5.x' })
