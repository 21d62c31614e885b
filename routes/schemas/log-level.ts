import { LOG_LEVELS } from '../../services/logging/levels.ts'
import { BODY_ERRORS, described, errorResponses, object, text } from './shared.ts'
import type { Operation } from './shared.ts'

export const logLevelSchemas = {
  show: {
    operationId: 'getLogLevel',
    summary: 'The least level that is logged',
    tags: ['system'],
    response: {
      200: { description: 'As it is', ...object({ level: described(text, 'The logger of an application may know others') }) },
      ...errorResponses('RGT_NOT_AVAILABLE')
    }
  },
  change: {
    operationId: 'setLogLevel',
    summary: 'Change the least level that is logged',
    description: 'In all processes of this server, until they are started again.',
    tags: ['system'],
    body: object({ level: { type: 'string', enum: LOG_LEVELS } }),
    response: {
      200: { description: 'As it is now', ...object({ level: { type: 'string', enum: LOG_LEVELS } }) },
      ...errorResponses(...BODY_ERRORS, 'RGT_NOT_AVAILABLE')
    }
  }
} satisfies Record<string, Operation>
