import { hasCode } from '../errors.ts'

/** Whether an error is of the database or the service as a whole: a smaller call would meet the same. */
export function isSharedFault (error: unknown): boolean {
  return hasCode(error, 'RGT_DATABASE_AWAY') || hasCode(error, 'RGT_OUTCOME_UNKNOWN') || hasCode(error, 'RGT_SHUTTING_DOWN') ||
    hasCode(error, 'RGT_DATABASE_BUSY') || hasCode(error, 'RGT_OVERLOADED')
}
