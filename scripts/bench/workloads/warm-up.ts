import type { LoadResult } from '../jobs.ts'
import { backlogFor } from './sizes.ts'

const LEAST_SECONDS = 1

/**
 * Backlogs until the service has been at it for so long: V8 compiles what is hot only after some seconds of it, and a
 * service that is cold takes several times as much for a request.
 * @param trial messages of the first one
 * @param empty makes a backlog in this queue and empties it
 * @returns how many messages a second the last one went at
 */
export async function warmUpByBacklogs (seconds: number, trial: number, empty: (queue: string, messages: number) => Promise<LoadResult>): Promise<number> {
  let perSecond = 0
  let left = seconds
  let size = trial
  for (let n = 0; n === 0 || left > 0; n++) {
    const result = await empty(`trial_${n}`, size)
    perSecond = result.messages / result.seconds
    left -= result.seconds
    size = backlogFor(perSecond, Math.max(left, LEAST_SECONDS))
  }
  return perSecond
}
