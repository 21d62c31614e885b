import type { Exposition, Labels } from './exposition.ts'
import type { Observed, ObservedHistograms } from './observed.ts'
import type { ProcessReport } from './process-report.ts'

const HISTOGRAMS: Readonly<Record<keyof ObservedHistograms, readonly [name: string, help: string]>> = {
  requests: ['queen_http_request_duration_seconds', 'Time from the head of a request until its answer was sent, long polls included'],
  laneWaits: ['queen_lane_wait_seconds', 'Time that requests waited in a lane for their database call'],
  laneSizes: ['queen_lane_call_items', 'Messages (push), acknowledgements (ack) or transactions that one call of a lane carried'],
  calls: ['queen_db_call_duration_seconds', 'Time of calls to the database, with their wait for a connection'],
  wakes: ['queen_wake_latency_seconds', 'Time from when the process learned of messages until a waiting pop had them'],
  messageAges: ['queen_message_age_seconds', 'Age of messages at their delivery'],
  loopDelays: ['queen_event_loop_delay_seconds', 'Longest event-loop delay of each sample']
}

const COUNTERS: readonly (readonly [name: string, help: string, of: (counts: Observed['counts']) => number])[] = [
  ['queen_messages_stored_total', 'Messages stored', ({ stored }) => stored],
  ['queen_messages_delivered_total', 'Messages delivered', ({ delivered }) => delivered],
  ['queen_messages_redelivered_total', 'Messages delivered that had been delivered before', ({ redelivered }) => redelivered],
  ['queen_messages_dead_lettered_total', 'Messages dead-lettered by acknowledgements', ({ deadLettered }) => deadLettered],
  ['queen_leases_expired_total', 'Leases that ran out and whose partitions were looked at again', ({ expiredLeases }) => expiredLeases],
  ['queen_db_call_failures_total', 'Failed calls to the database', ({ callFailures }) => callFailures]
]

/** Add what processes have observed. `labelsOf` tells their series apart. */
export function addObserved (exposition: Exposition, processes: readonly ProcessReport[], labelsOf: (process: ProcessReport) => Labels): void {
  const perLane = (of: (lane: Observed['lanes'][number]) => number): (readonly [Labels, number])[] =>
    processes.flatMap(process => process.observed.lanes.map(lane => [{ lane: lane.lane, ...labelsOf(process) }, of(lane)] as const))
  exposition.add('queen_lane_waiting', 'gauge', 'Requests that wait in a lane for their database call', perLane(({ waiting }) => waiting))
  exposition.add('queen_lane_calls', 'gauge', 'Calls of a lane in flight', perLane(({ calls }) => calls))
  exposition.add('queen_db_pool_waiting', 'gauge', 'Calls that wait for a database connection', processes.map(process => [labelsOf(process), process.figures.pool.waiting]))
  exposition.add('queen_parked_pops', 'gauge', 'Pops that wait for messages', processes.map(process => [labelsOf(process), process.observed.parkedPops]))
  for (const [name, help, of] of COUNTERS) {
    exposition.add(name, 'counter', help, processes.map(process => [labelsOf(process), of(process.observed.counts)]))
  }
  exposition.add('queen_messages_acknowledged_total', 'counter', 'Acknowledgements by result', processes.flatMap(process => [
    [{ result: 'success', ...labelsOf(process) }, process.observed.counts.acknowledged],
    [{ result: 'failed', ...labelsOf(process) }, process.observed.counts.failed]
  ] as const))
  for (const [key, [name, help]] of Object.entries(HISTOGRAMS)) {
    // The cast holds: the table has exactly these keys.
    const of = key as keyof ObservedHistograms
    exposition.addHistogram(name, help, processes.flatMap(process => process.observed.histograms[of].map(([labels, figures]) =>
      [{ ...labels, ...labelsOf(process) }, figures] as const)))
  }
}
