import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { FieldError } from '../services/json/field-error.ts'
import { LOG_LEVELS, changeLevel, isLogLevel, levelOf } from '../services/logging/levels.ts'
import type { LogLevel } from '../services/logging/levels.ts'
import { readObject, requiredText } from './body.ts'
import { logLevelSchemas } from './schemas/log-level.ts'

/** Where the level is looked at and changed. */
export const LOG_LEVEL_PATH = '/api/v1/system/log-level'

export interface LogLevelRouteOptions {
  /** Tells the other processes of this server; undefined: there are none. */
  tellOthers: ((level: LogLevel) => void) | undefined
}

/** GET and PUT /api/v1/system/log-level: of this server, until it is started again; embedded, of what the service logs alone. */
export async function logLevelRoutes (app: FastifyInstance, { tellOthers }: LogLevelRouteOptions): Promise<void> {
  const config = { ...exemptFromPressure, access: 'admin' } as const

  app.get(LOG_LEVEL_PATH, { config, schema: logLevelSchemas.show }, async () => ({ level: levelOf(app.log) }))

  app.put(LOG_LEVEL_PATH, { config, schema: logLevelSchemas.change }, async request => {
    const { level } = readObject(requiredText(request))
    if (!isLogLevel(level)) throw new FieldError('level', 'unsupported', `level: must be one of ${LOG_LEVELS.join(', ')}`)
    changeLevel(app.log, level)
    tellOthers?.(level)
    return { level }
  })
}
