import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { Query } from './query.ts'
import { DEFAULT_CHANNELS, channelsStatusSchema } from './schemas/channels-status.ts'

/** GET /api/v1/status/channels */
export async function channelsStatusRoutes (app: FastifyInstance): Promise<void> {
  app.get('/api/v1/status/channels', { config: { ...exemptFromPressure, access: 'read' }, schema: channelsStatusSchema }, async request => {
    const { broker } = app.channels
    const { limit } = new Query(request).page(DEFAULT_CHANNELS)
    return { connections: broker.connectionsByKind(), ...broker.survey(limit) }
  })
}
