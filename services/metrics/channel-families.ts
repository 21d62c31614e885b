import type { BrokerFigures } from '../channels/broker.ts'
import type { Tally } from '../channels/tally.ts'
import type { TransportKind } from '../channels/transport.ts'
import type { Exposition } from './exposition.ts'

/** The channels of this process, as a scraper is shown them. */
export interface ScrapedChannels {
  stats: BrokerFigures & Tally
  connections: Readonly<Record<TransportKind, number>>
}

/** Add the families of the request/reply channels. They are never shared: every process has channels of its own. */
export function addChannels (exposition: Exposition, { stats, connections }: ScrapedChannels): void {
  const gauge = (name: string, help: string, value: number): void => { exposition.add(`queen_channel${name}`, 'gauge', help, [[{}, value]]) }
  const counter = (name: string, help: string, value: number): void => { exposition.add(`queen_channel_${name}_total`, 'counter', help, [[{}, value]]) }
  const causes = (name: string, help: string, counts: Record<string, number>): void => {
    exposition.add(`queen_channel_${name}_total`, 'counter', help, Object.entries(counts).map(([cause, count]) => [{ cause }, count]))
  }
  gauge('s', 'Request/reply channels with at least one client', stats.channels)
  exposition.add('queen_channel_connections', 'gauge', 'Connections of channel clients, by how they came',
    Object.entries(connections).map(([transport, count]) => [{ transport }, count]))
  gauge('_requests_queued', 'Requests that wait for a receiver', stats.queued)
  gauge('_exchanges', 'Requests that have a receiver and are not over', stats.requests - stats.queued)
  gauge('_claims', 'Receivers\' claims that wait for a request', stats.claims)
  gauge('_pending_bytes', 'Output that channel clients have not taken yet', stats.pendingBytes)
  counter('frames', 'Frames that came in', stats.frames)
  counter('payload_bytes', 'Payload of the frames that came in', stats.payloadBytes)
  counter('invalid_frames', 'Frames that the protocol does not allow', stats.invalid)
  counter('requests_opened', 'Requests that were taken in', stats.opened)
  counter('requests_requeued', 'Times a receiver left with a request that it had not accepted', stats.requeued)
  causes('requests_ended', 'Requests that are over, by how they ended', {
    completed: stats.completed,
    timeout: stats.timedOut,
    receiver_left: stats.receiverLeft,
    sender_left: stats.senderLeft,
    invalid: stats.malformed,
    stopped: stats.stopped
  })
  causes('requests_refused', 'Requests that were not taken in, by why', {
    queue_full: stats.queueFull,
    too_many: stats.tooMany,
    invalid: stats.malformedStart
  })
}
