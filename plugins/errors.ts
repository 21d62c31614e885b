import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { RegentError } from '../services/errors.ts'
import { FieldError } from '../services/json/field-error.ts'
import { JsonSyntaxError } from '../services/json/reader.ts'
import { Ration } from '../services/logging/ration.ts'

const RETRY_AFTER_SECONDS = 1

/** One error handler for all routes: every error becomes one of the table's, and the body has one shape. */
async function errorsPlugin (app: FastifyInstance, { maxBodyBytes }: { maxBodyBytes: number }): Promise<void> {
  const rations = new Ration()
  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const known = asRegentError(error, maxBodyBytes)
    const { method, routeOptions: { url: route } } = request
    const about = { method, route, status: known.status, err: error }
    // What is not a fault of ours concerns many requests at once.
    const heldBack = known.status === 500 ? 0 : known.status > 500 ? rations.take(known.code) : null
    if (heldBack === null) request.log.debug(about, 'request refused')
    else request.log.error(heldBack === 0 ? about : { ...about, heldBack }, 'request failed')
    return sendError(reply, known)
  })
  try {
    app.setNotFoundHandler(async (_request: FastifyRequest, reply: FastifyReply) => {
      return await sendError(reply, new RegentError('RGT_ROUTE_NOT_FOUND'))
    })
  } catch (error) {
    // Mounted at the root of an application that answers unknown routes itself: it goes on to.
    if (app.prefix !== '') throw error
  }
}

/** Send the wire form of an error: `error` is what existing clients read, `code` is stable, `field` names what was wrong. */
export function sendError (reply: FastifyReply, error: RegentError): FastifyReply {
  // RFC 6750, section 3.
  if (error.status === 401) reply.header('www-authenticate', error.code === 'RGT_AUTH_REQUIRED' ? 'Bearer' : 'Bearer error="invalid_token"')
  // Whoever refuses may have said when it is worth trying again.
  if ((error.status === 503 || error.status === 429) && !reply.hasHeader('retry-after')) reply.header('retry-after', RETRY_AFTER_SECONDS)
  return reply.code(error.status).send({
    success: false,
    error: error.message,
    code: error.code,
    retryable: error.retryable,
    ...(error.field === undefined ? {} : { field: error.field })
  })
}

function asRegentError (error: FastifyError | Error, maxBodyBytes: number): RegentError {
  if (error instanceof RegentError) return error
  if (error instanceof FieldError) return new RegentError('RGT_FIELD_INVALID', { detail: error.message, field: error.field, cause: error })
  if (error instanceof JsonSyntaxError) {
    return new RegentError(error.code === 'depth' ? 'RGT_BODY_TOO_DEEP' : 'RGT_BODY_NOT_JSON', { detail: error.message, cause: error })
  }
  const status = 'statusCode' in error ? error.statusCode : undefined
  if (status === 413) return new RegentError('RGT_BODY_TOO_LARGE', { detail: String(maxBodyBytes), cause: error })
  if (status === 503) return new RegentError('RGT_OVERLOADED', { cause: error })
  // The limit of an application that has one of its own.
  if (status === 429) return new RegentError('RGT_RATE_LIMITED', { cause: error })
  if (status !== undefined && status >= 400 && status < 500) return new RegentError('RGT_REQUEST_INVALID', { detail: error.message, cause: error })
  return new RegentError('RGT_INTERNAL', { cause: error })
}

export default fp(errorsPlugin, { name: 'regent-errors', fastify: '5.x' })
