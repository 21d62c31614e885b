import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { openBuffer } from '../services/failover/open.ts'
import type { OwnBuffer } from '../services/failover/own-buffer.ts'
import { KeptBuffer } from '../services/shared-buffer/kept-buffer.ts'
import { BufferKeeper } from '../services/shared-buffer/keeper.ts'
import type { BufferLink, ProcessRole } from '../services/workers/role.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Where pushes go while the database is away: a folder of this process, or one that another process keeps; null: there is none. */
    fileBuffer: { own: OwnBuffer, peers: BufferKeeper | undefined } | { kept: KeptBuffer } | null
  }
}

export interface FileBufferPluginOptions {
  fileBufferDir: string | undefined
  fileBufferMaxMb: number
  fileBufferEventsPerFile: number
  role: ProcessRole | undefined
}

const MB = 1024 * 1024

/** The file buffer: its folder, held by this process alone until it ends, or the way to the process that holds it. */
async function fileBufferPlugin (app: FastifyInstance, options: FileBufferPluginOptions): Promise<void> {
  const { role } = options
  if (role?.kind === 'worker') app.decorate('fileBuffer', role.buffer === null ? null : { kept: await join(role.buffer) })
  else await open(app, options)
}

async function join (link: BufferLink): Promise<KeptBuffer> {
  const kept = new KeptBuffer(link.send)
  link.onMessage = message => { kept.receive(message) }
  link.onLost = () => { kept.lose() }
  await kept.join()
  return kept
}

/** Closed after the engine that writes to it. */
async function open (app: FastifyInstance, { fileBufferDir, fileBufferMaxMb, fileBufferEventsPerFile, role }: FileBufferPluginOptions): Promise<void> {
  if (fileBufferDir === undefined) {
    app.decorate('fileBuffer', null)
    return
  }
  const own = await openBuffer({ directory: fileBufferDir, maxBytes: fileBufferMaxMb * MB, fileRecords: fileBufferEventsPerFile, log: app.log })
  const keeper = role === undefined ? undefined : new BufferKeeper({ buffer: own, log: app.log })
  app.decorate('fileBuffer', { own, peers: keeper })
  app.addHook('onClose', async () => {
    keeper?.close()
    await own.files.close()
  })
  if (role?.kind === 'keeper' && keeper !== undefined) role.onBuffer(keeper)
}

export default fp(fileBufferPlugin, { name: 'regent-file-buffer', fastify: '5.x' })
