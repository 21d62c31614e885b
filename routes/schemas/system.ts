import { BUFFER_STATES } from '../../services/buffer/file-buffer.ts'
import { FAILOVER_STATES } from '../../services/failover/failover.ts'
import {
  BODY_ERRORS, DATABASE_ERRORS, count, described, errorResponses, flag, integer, name, nameParameter, object, orNull, text
} from './shared.ts'
import type { Operation, Schema } from './shared.ts'

const TAGS = ['system'] as const
const SWITCH = object({ enabled: flag })
const SWITCH_ERRORS = errorResponses(...BODY_ERRORS, ...DATABASE_ERRORS)

const BUFFERED = {
  bufferedMessages: described(count, 'Messages in the file buffer of this process'),
  bufferHealthy: described(flag, 'Whether it takes more; true where there is none')
}

const BUFFER_STATS = object({
  pendingCount: count,
  failedCount: described(count, 'Things in the quarantine'),
  dbHealthy: described(flag, 'Whether the database has answered'),
  failedFiles: described(object({ count, totalBytes: { const: 0 }, totalMB: { const: 0 }, failoverCount: count, qos0Count: { const: 0 } }),
    'What is refused for good is in the quarantine; there are no files to try again'),
  state: { type: 'string', enum: FAILOVER_STATES, description: 'Where pushes go' },
  buffer: described(orNull({ type: 'string', enum: BUFFER_STATES }), 'Null: there is none'),
  bytes: count,
  oldestAgeMs: described(orNull(integer), 'Null: it is empty')
})

const POP_MAINTENANCE = object({ popMaintenanceMode: flag, message: text })

const SHARED_STATE = {
  200: {
    description: 'The maintenance modes; processes share the database and no other state',
    ...object({
      enabled: { const: false },
      running: { const: false },
      server_id: described(text, 'Host and port'),
      queue_config_cache: zeros('size', 'hits', 'misses', 'hit_rate'),
      server_health: zeros('servers_tracked', 'servers_alive', 'servers_dead', 'heartbeats_received', 'restarts_detected'),
      maintenance_mode: flag,
      pop_maintenance_mode: flag
    })
  }
}

export const systemSchemas = {
  readMaintenance: {
    operationId: 'getMaintenance',
    summary: 'The maintenance modes and the file buffer of this process',
    tags: TAGS,
    response: {
      200: {
        description: 'As far as it is known; while the database is away, what it was before',
        ...object({ maintenanceMode: flag, popMaintenanceMode: flag, ...BUFFERED, bufferStats: BUFFER_STATS })
      }
    }
  },
  setMaintenance: {
    operationId: 'setMaintenance',
    summary: 'Keep pushes in the file buffers of all processes, or let them go',
    tags: TAGS,
    body: SWITCH,
    response: {
      200: { description: 'It is so', ...object({ maintenanceMode: flag, ...BUFFERED, message: text }) },
      ...SWITCH_ERRORS,
      ...errorResponses('RGT_NOT_AVAILABLE')
    }
  },
  readPopMaintenance: {
    operationId: 'getPopMaintenance',
    summary: 'Whether pops are held',
    tags: TAGS,
    response: { 200: { description: 'As far as it is known', ...POP_MAINTENANCE } }
  },
  setPopMaintenance: {
    operationId: 'setPopMaintenance',
    summary: 'Hold pops in every process, or let them go',
    tags: TAGS,
    body: SWITCH,
    response: { 200: { description: 'It is so', ...POP_MAINTENANCE }, ...SWITCH_ERRORS }
  },
  notify: {
    operationId: 'notifyPops',
    summary: 'Wake the pops that wait for a queue',
    tags: TAGS,
    body: object({ queue: name, partition: nameParameter('Name of the partition; every one without it.') }, ['queue']),
    response: { 200: { description: 'They look again', ...object({ status: { const: 'ok' } }) }, ...errorResponses(...BODY_ERRORS, ...DATABASE_ERRORS) }
  },
  refreshStatistics: {
    operationId: 'refreshStatistics',
    summary: 'Write this process\'s metrics at once',
    tags: TAGS,
    response: {
      200: {
        description: 'They are written; nothing else is computed beforehand',
        ...object({
          partition: zeros('partitionsUpdated', 'dirtyPartitionsScanned', 'partitionsSkippedByWatermark', 'newPartitions'),
          queue: zeros('queuesUpdated'),
          namespace: zeros('namespacesUpdated'),
          task: zeros('tasksUpdated'),
          system: zeros('systemUpdated'),
          cleanup: zeros('orphanedDeleted')
        })
      },
      ...errorResponses(...DATABASE_ERRORS)
    }
  }
} as const satisfies Record<string, Operation>

/** The shared state has three names. */
export function sharedStateSchema (operationId: string): Operation {
  return { operationId, summary: 'What this process shares with others', tags: TAGS, response: SHARED_STATE }
}

/** Nothing is migrated to another database here. */
export function migrationSchema (operationId: string): Operation {
  return {
    operationId,
    summary: 'The compatible server\'s migration to another database, which there is none of here',
    tags: TAGS,
    response: errorResponses('RGT_NOT_AVAILABLE')
  }
}

function zeros (...names: string[]): Schema {
  return object(Object.fromEntries(names.map(zero => [zero, { const: 0 }])))
}
