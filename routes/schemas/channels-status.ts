import { count, described, list, number, object, orNull, page, query, uuid } from './shared.ts'
import type { Operation } from './shared.ts'

export const DEFAULT_CHANNELS = 100

const FIGURES = {
  clients: count,
  queued: described(count, 'Requests that wait for a receiver'),
  exchanges: described(count, 'Requests that have one and are not over'),
  claims: described(count, 'Receivers that wait for a request')
}

export const channelsStatusSchema: Operation = {
  operationId: 'getChannels',
  summary: 'The channels of this process with counts, those with most waiting requests first',
  tags: ['channels'],
  querystring: query({ limit: page(DEFAULT_CHANNELS).limit }),
  response: {
    200: {
      description: 'As they are now',
      ...object({
        connections: object({ tcp: count, websocket: count, http: count, local: count }),
        total: described(count, 'How many channels there are'),
        totals: object(FIGURES),
        channels: list(object({ channel: uuid, ...FIGURES, oldestWaitingMs: described(orNull(number), 'How long the request that comes next has waited') }))
      })
    }
  }
}
