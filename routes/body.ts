import type { FastifyRequest } from 'fastify'
import { RegentError } from '../services/errors.ts'
import { parseJson } from '../services/json/parse.ts'

// Envelopes without payloads are flat; this is only there to bound what a parser may be fed.
export const MAX_ENVELOPE_DEPTH = 64

/** The body's text. Throws RGT_BODY_EMPTY when there is none. */
export function requiredText (request: FastifyRequest): string {
  const text = request.body
  if (typeof text !== 'string' || text === '') throw new RegentError('RGT_BODY_EMPTY')
  return text
}

/** The body as an object; anything else reads as one without fields. */
export function readObject (text: string): Record<string, unknown> {
  const value = parseJson(text, MAX_ENVELOPE_DEPTH)
  return isObject(value) ? value : {}
}

export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
