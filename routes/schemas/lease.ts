import {
  DATABASE_ERRORS, OPTIONAL_BODY_ERRORS, described, errorResponses, looseObject, object, optionalBody, params, text, time
} from './shared.ts'
import type { Operation } from './shared.ts'

/** By how much a lease is extended. */
export const LEASE_SECONDS = { default: 60, min: 0, max: 366 * 86_400 }

export const leaseSchema: Operation = {
  operationId: 'extendLease',
  summary: 'Extend a lease',
  tags: ['messages'],
  params: params({ leaseId: described(text, 'What cannot be one is not found') }),
  body: optionalBody(looseObject({
    seconds: { type: ['integer', 'null'], default: LEASE_SECONDS.default, minimum: LEASE_SECONDS.min, maximum: LEASE_SECONDS.max, description: 'How long it lasts from now, at least: it is never made shorter' }
  })),
  response: {
    200: {
      description: 'It lasts longer now',
      ...object({ leaseId: text, success: { const: true }, error: { type: 'null' }, expiresAt: time, newExpiresAt: time, lease_expires_at: described(time, 'The same three times, under the names that clients look for') })
    },
    ...errorResponses(...OPTIONAL_BODY_ERRORS, 'RGT_LEASE_UNKNOWN', 'RGT_LEASE_EXPIRED', ...DATABASE_ERRORS)
  }
}
