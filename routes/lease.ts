import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { RegentError } from '../services/errors.ts'
import { FieldError } from '../services/json/field-error.ts'
import { ackLease } from './acknowledgement.ts'
import { readObject } from './body.ts'
import { LEASE_SECONDS, leaseSchema } from './schemas/lease.ts'

/**
 * POST /api/v1/lease/:leaseId/extend. Clients send `{}`, `[]` or nothing. The answer carries the new end under the three
 * names that clients look for; a lease that is gone is an error status, or they would report success.
 */
export async function leaseRoutes (app: FastifyInstance): Promise<void> {
  app.post<{ Params: { leaseId: string } }>('/api/v1/lease/:leaseId/extend', { config: { ...exemptFromPressure, access: 'consume', queueIn: 'handler' }, schema: leaseSchema }, async request => {
    const { leaseId } = request.params
    const { default: fallback, min, max } = LEASE_SECONDS
    const text = typeof request.body === 'string' ? request.body : ''
    const seconds = text === '' ? fallback : readObject(text).seconds ?? fallback
    if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < min || seconds > max) {
      throw new FieldError('seconds', 'range', `seconds: must be a whole number between ${min} and ${max}`)
    }
    const id = ackLease(leaseId)
    if (id === null) throw new RegentError('RGT_LEASE_UNKNOWN')
    await app.auth.checkLeases(request.regentCaller, [id], () => 'leaseId')
    const { outcome, expiresAt } = await app.queue.extend(id, seconds)
    if (outcome === 'unknown') throw new RegentError('RGT_LEASE_UNKNOWN')
    if (outcome === 'expired') throw new RegentError('RGT_LEASE_EXPIRED')
    return { leaseId, success: true, error: null, expiresAt, newExpiresAt: expiresAt, lease_expires_at: expiresAt }
  })
}
