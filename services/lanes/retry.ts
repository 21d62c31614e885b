import { setTimeout as delay } from 'node:timers/promises'
import { RegentError, hasCode } from '../errors.ts'
import { isSharedFault } from './shared-fault.ts'

/** A restarting PostgreSQL is usually back within this; a client's own retry takes over afterwards. */
export const KEEP_TRYING_MS = 3000
const PAUSE_MS = 100

export interface RetryOptions {
  /** False: not when the outcome is unknown; a function is asked each time. */
  afterUnknown?: boolean | (() => boolean)
  keepTryingMs?: number
}

/**
 * Run an operation that is safe to repeat, again while the database is away or the outcome unknown, for a few seconds.
 * @throws the last error; RGT_OUTCOME_UNKNOWN when an attempt ended so and the database did not say anything else since
 */
export async function retryWhileAway<T> (operation: () => Promise<T>, { afterUnknown = true, keepTryingMs = KEEP_TRYING_MS }: RetryOptions = {}): Promise<T> {
  const until = performance.now() + keepTryingMs
  let isUnknown = false
  for (;;) {
    try {
      return await operation()
    } catch (error) {
      const mayRepeat = typeof afterUnknown === 'function' ? afterUnknown() : afterUnknown
      const isWorthIt = hasCode(error, 'RGT_DATABASE_AWAY') || (mayRepeat && hasCode(error, 'RGT_OUTCOME_UNKNOWN'))
      isUnknown ||= hasCode(error, 'RGT_OUTCOME_UNKNOWN')
      if (!isWorthIt || performance.now() > until) {
        throw isUnknown && (isSharedFault(error) || hasCode(error, 'RGT_DATABASE_SLOW')) ? new RegentError('RGT_OUTCOME_UNKNOWN', { cause: error }) : error
      }
      await delay(PAUSE_MS)
    }
  }
}
