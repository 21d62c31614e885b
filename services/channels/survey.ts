import type { Channel } from './channel.ts'
import { idText } from './wire.ts'

/** What there is in one channel, or in all. */
export interface ChannelFigures {
  /** Connections that belong to it. */
  clients: number
  /** Requests that wait for a receiver, and those that have one and are not over. */
  queued: number
  exchanges: number
  /** Receivers' claims that wait for a request. */
  claims: number
}

export interface SurveyedChannel extends ChannelFigures {
  /** A UUID. */
  channel: string
  /** How long the request that comes next has waited since it was sent; null: none waits. */
  oldestWaitingMs: number | null
}

export interface Survey {
  total: number
  totals: ChannelFigures
  channels: SurveyedChannel[]
}

/**
 * Looks at every channel once and shows as many as are wanted: those with most waiting requests first, then by id.
 * @param now by the clock that requests were opened by, in milliseconds
 */
export function surveyOf (channels: Iterable<Channel>, most: number, now: number): Survey {
  const totals: ChannelFigures = { clients: 0, queued: 0, exchanges: 0, claims: 0 }
  const first: Channel[] = []
  let total = 0
  for (const channel of channels) {
    total++
    totals.clients += channel.clients
    totals.queued += channel.requests.size
    totals.exchanges += channel.live - channel.requests.size
    totals.claims += channel.claims.size
    // Cut now and then: however many there are, a few are kept and sorted at a time.
    if (first.push(channel) >= 2 * most) cut(first, most)
  }
  cut(first, most)
  return { total, totals, channels: first.map(channel => describe(channel, now)) }
}

function cut (channels: Channel[], most: number): void {
  // Ids compare as the UUIDs do: both by their bytes.
  channels.sort((one, other) => other.requests.size - one.requests.size || (one.id < other.id ? -1 : 1))
  channels.length = Math.min(channels.length, most)
}

function describe ({ id, clients, live, requests, claims }: Channel, now: number): SurveyedChannel {
  return {
    channel: idText(id),
    clients,
    queued: requests.size,
    exchanges: live - requests.size,
    claims: claims.size,
    oldestWaitingMs: requests.first === null ? null : Math.round(now - requests.first.openedAt)
  }
}
