/** What the workloads have in common: the shape in which the compatible server was measured. */
export const PARTITIONS = 100
export const FILL_BATCH = 100
export const FILL_CONNECTIONS = 32

const MOST_MESSAGES = 600_000

/**
 * A backlog that lasts about so long, in whole rounds of all partitions.
 * @param perSecond messages, as seen in a trial
 */
export function backlogFor (perSecond: number, seconds: number, least = 0): number {
  const round = PARTITIONS * FILL_BATCH
  return Math.ceil(Math.max(Math.min(perSecond * seconds, MOST_MESSAGES), least) / round) * round
}
