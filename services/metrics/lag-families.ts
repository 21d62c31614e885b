import { OTHER_QUEUES } from './counters.ts'
import type { Exposition } from './exposition.ts'
import type { Lag, PairLag } from './queue-lag.ts'

/** Add how far consumer groups are behind. It is the same whichever process is asked. */
export function addLag (exposition: Exposition, { shown, rest, pairs }: Lag): void {
  const all = rest === null ? shown : [...shown, { queue: OTHER_QUEUES, group: OTHER_QUEUES, ...rest }]
  const add = (name: string, help: string, of: (pair: PairLag) => number): void => {
    exposition.add(`queen_queue_lag_${name}`, 'gauge', help, all.map(pair => [{ queue: pair.queue, group: pair.group }, of(pair)]))
  }
  add('messages', 'Messages that a consumer group has not acknowledged', ({ messages }) => messages)
  add('oldest_seconds', 'Age of the oldest of them', ({ oldestSeconds }) => oldestSeconds)
  add('partitions', 'Partitions that they are in', ({ partitions }) => partitions)
  exposition.add('queen_queue_lag_pairs', 'gauge', 'Pairs of queue and consumer group, by how their lag is shown', [
    [{ state: 'shown' }, shown.length],
    [{ state: 'summed' }, pairs.summed],
    [{ state: 'partial' }, pairs.partial],
    [{ state: 'unseen' }, pairs.unseen]
  ])
}
