import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Maintenance } from '../services/system/maintenance.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Pop and push maintenance, as all processes on the database have them. */
    maintenance: Maintenance
  }
}

async function maintenancePlugin (app: FastifyInstance): Promise<void> {
  const maintenance = new Maintenance({ pool: app.postgres, engine: app.queue, log: app.log })
  app.decorate('maintenance', maintenance)
  // Before the first request: pops and pushes that were held before a restart are held after it.
  app.addHook('onReady', async () => { await maintenance.start() })
  app.addHook('onClose', async () => { maintenance.close() })
}

export default fp(maintenancePlugin, { name: 'regent-maintenance', fastify: '5.x', dependencies: ['regent-postgres', 'regent-queue'] })
