import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { Query } from './query.ts'

const DEFAULT_CHANNELS = 100

/** GET /api/v1/status/channels */
export async function channelsStatusRoutes (app: FastifyInstance): Promise<void> {
  app.get('/api/v1/status/channels', { config: { ...exemptFromPressure, access: 'read' } }, async request => {
    const { broker } = app.channels
    const { limit } = new Query(request).page(DEFAULT_CHANNELS)
    return { connections: broker.connectionsByKind(), ...broker.survey(limit) }
  })
}
