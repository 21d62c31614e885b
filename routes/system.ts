import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import { sendError } from '../plugins/errors.ts'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { RegentError } from '../services/errors.ts'
import { FieldError } from '../services/json/field-error.ts'
import { checkName } from '../services/json/names.ts'
import { availableIn } from '../services/system/notify.ts'
import { readObject, requiredText } from './body.ts'
import { migrationSchema, sharedStateSchema, systemSchemas } from './schemas/system.ts'

const SHARED_STATE = [
  ['/api/v1/system/shared-state', 'getSharedState'], ['/internal/api/shared-state/stats', 'getSharedStateStats'],
  ['/internal/api/inter-instance/stats', 'getInterInstanceStats']
] as const
const MIGRATION = [
  ['POST', 'test-connection', 'testMigrationConnection'], ['POST', 'start', 'startMigration'], ['GET', 'status', 'getMigrationStatus'],
  ['POST', 'validate', 'validateMigration'], ['POST', 'reset', 'resetMigration']
] as const

/** /api/v1/system/*, POST /api/v1/stats/refresh, /internal/api/* and /api/v1/migration/* */
export async function systemRoutes (app: FastifyInstance): Promise<void> {
  const config = { ...exemptFromPressure, access: 'admin' } as const

  app.get('/api/v1/system/maintenance', { schema: systemSchemas.readMaintenance, config }, async request => {
    const dbHealthy = await isRead(app, request.log)
    return {
      maintenanceMode: app.maintenance.arePushesHeld,
      popMaintenanceMode: app.maintenance.arePopsHeld,
      ...buffered(app),
      bufferStats: bufferStats(app, dbHealthy)
    }
  })

  app.post('/api/v1/system/maintenance', { schema: systemSchemas.setMaintenance, config }, async (request, reply) => {
    const enabled = isEnabled(requiredText(request))
    if (enabled && app.fileBuffer === null) {
      return sendError(reply, new RegentError('RGT_NOT_AVAILABLE', { detail: 'Push maintenance needs a file buffer, and this process has none (FILE_BUFFER_DIR)' }))
    }
    await app.maintenance.holdPushes(enabled)
    return {
      maintenanceMode: enabled,
      ...buffered(app),
      message: enabled
        ? 'Push maintenance is on: messages are kept in the file buffers'
        : 'Push maintenance is off: messages are stored in the database, those in the file buffers first'
    }
  })

  app.get('/api/v1/system/maintenance/pop', { schema: systemSchemas.readPopMaintenance, config }, async request => {
    await isRead(app, request.log)
    return popMaintenance(app.maintenance.arePopsHeld)
  })

  app.post('/api/v1/system/maintenance/pop', { schema: systemSchemas.setPopMaintenance, config }, async request => {
    const enabled = isEnabled(requiredText(request))
    await app.maintenance.holdPops(enabled)
    return popMaintenance(enabled)
  })

  for (const [path, operationId] of SHARED_STATE) {
    app.get(path, { schema: sharedStateSchema(operationId), config }, async () => sharedState(app))
  }

  app.post('/internal/api/notify', { schema: systemSchemas.notify, config: { access: 'admin' } }, async request => {
    const { queue, partition = '' } = readObject(requiredText(request))
    if (typeof queue !== 'string' || queue === '') throw new FieldError('queue', 'required', 'queue is required')
    if (typeof partition !== 'string') throw new FieldError('partition', 'type', 'partition: must be a text')
    checkName(queue, 'queue')
    if (partition !== '') checkName(partition, 'partition')
    app.queue.announce([await availableIn(app.postgres, queue, partition === '' ? null : partition)])
    return { status: 'ok' }
  })

  app.post('/api/v1/stats/refresh', { schema: systemSchemas.refreshStatistics, config: { access: 'admin' } }, async () => {
    await app.metrics.flush()
    return REFRESHED
  })

  for (const [method, name, operationId] of MIGRATION) {
    app.route({
      method,
      url: `/api/v1/migration/${name}`,
      exposeHeadRoute: false,
      schema: migrationSchema(operationId),
      config: { access: 'admin' },
      handler: async (_request, reply) => sendError(reply, new RegentError('RGT_NOT_AVAILABLE', {
        detail: 'Copying into another database is not available here: use pg_dump and pg_restore on the schema'
      }))
    })
  }
}

// Statistics are counted when they are asked for, so there is nothing to recompute.
const REFRESHED = {
  partition: { partitionsUpdated: 0, dirtyPartitionsScanned: 0, partitionsSkippedByWatermark: 0, newPartitions: 0 },
  queue: { queuesUpdated: 0 },
  namespace: { namespacesUpdated: 0 },
  task: { tasksUpdated: 0 },
  system: { systemUpdated: 0 },
  cleanup: { orphanedDeleted: 0 }
}

function isEnabled (text: string): boolean {
  const { enabled } = readObject(text)
  if (typeof enabled !== 'boolean') throw new FieldError('enabled', 'type', 'enabled (boolean) is required')
  return enabled
}

/** Whether the database answered; if not, what is known from before stands. */
async function isRead (app: FastifyInstance, log: FastifyInstance['log']): Promise<boolean> {
  try {
    await app.maintenance.read()
    return true
  } catch (error) {
    log.warn({ err: error }, 'the maintenance setting could not be read')
    return false
  }
}

/** What the file buffer of this process holds, and whether it takes more. */
function buffered (app: FastifyInstance): object {
  const { buffer, messages } = app.queue.failover
  return { bufferedMessages: messages, bufferHealthy: buffer === null || buffer.state === 'empty' || buffer.state === 'buffering' }
}

/** There are no files of failed messages to try again: what is refused for good is in the quarantine. */
function bufferStats (app: FastifyInstance, dbHealthy: boolean): object {
  const { buffer, messages, state } = app.queue.failover
  const quarantined = buffer?.quarantined ?? 0
  return {
    pendingCount: messages,
    failedCount: quarantined,
    dbHealthy,
    failedFiles: { count: quarantined, totalBytes: 0, totalMB: 0, failoverCount: quarantined, qos0Count: 0 },
    state,
    buffer: buffer?.state ?? null,
    bytes: buffer?.bytes ?? 0,
    oldestAgeMs: buffer?.oldestAgeMs ?? null
  }
}

function popMaintenance (isHeld: boolean): object {
  return {
    popMaintenanceMode: isHeld,
    message: isHeld ? 'Pop maintenance is on: no messages are delivered' : 'Pop maintenance is off: messages are delivered'
  }
}

/** Processes share the database and nothing else: there is no cluster state to keep in step. */
function sharedState (app: FastifyInstance): object {
  const address = app.server.address()
  return {
    enabled: false,
    running: false,
    server_id: `${hostname()}:${typeof address === 'object' && address !== null ? address.port : 0}`,
    queue_config_cache: { size: 0, hits: 0, misses: 0, hit_rate: 0 },
    server_health: { servers_tracked: 0, servers_alive: 0, servers_dead: 0, heartbeats_received: 0, restarts_detected: 0 },
    maintenance_mode: app.maintenance.arePushesHeld,
    pop_maintenance_mode: app.maintenance.arePopsHeld
  }
}
