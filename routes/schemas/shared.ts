import type { FastifySchema } from 'fastify'
import type { ErrorCode } from '../../services/errors.ts'
import { MAX_NAME_CHARACTERS } from '../../services/json/names.ts'
import { ISO_TIME } from '../../services/json/time.ts'
import { OPTIONAL_BODY } from '../../services/openapi/document.ts'
import type { Tag } from '../../services/openapi/document.ts'
import type { Responses, Schema } from '../../services/openapi/error-responses.ts'
import { MOST_ENTRIES, pageNumbers } from '../query.ts'
import type { Whole } from '../query.ts'

export { errorResponses } from '../../services/openapi/error-responses.ts'
export type { Schema } from '../../services/openapi/error-responses.ts'

/**
 * What the descriptions of routes are made of. They describe: requests are read and answers are written by code of our own, and
 * tests compare both with what is said here.
 */

/** What a route says about itself, as the option `schema` of a route. */
export type Operation = FastifySchema & { operationId: string, summary: string, tags: readonly Tag[], response: Responses }

/** A whole object. @param required those that are always there; all, when not given */
export function object (properties: Readonly<Record<string, Schema>>, required: readonly string[] = Object.keys(properties)): Schema {
  return { type: 'object', properties, ...(required.length === 0 ? {} : { required }) }
}

export function list (items: Schema, bounds: { minItems?: number, maxItems?: number } = {}): Schema {
  return { type: 'array', items, ...bounds }
}

/** An object with names of any kind, each with such a value. */
export function mapOf (values: Schema): Schema {
  return { type: 'object', additionalProperties: values }
}

/** The same or null. For schemas with a single type. */
export function orNull (schema: Schema): Schema {
  return { ...schema, type: [schema.type, 'null'], ...(Array.isArray(schema.enum) ? { enum: [...schema.enum, null] } : {}) }
}

export function described (schema: Schema, description: string): Schema {
  return { ...schema, description }
}

export const text: Schema = { type: 'string' }
export const flag: Schema = { type: 'boolean' }
export const number: Schema = { type: 'number' }
export const integer: Schema = { type: 'integer' }
/** A number of things. */
export const count: Schema = { type: 'integer', minimum: 0 }
/** Any JSON value. */
export const anything: Schema = { description: 'Any JSON value' }

// Neither a NUL character nor half of a surrogate pair: PostgreSQL stores neither.
const STORABLE = '^[^\\u0000\\ud800-\\udfff]*$'

/** A name: of a queue, a partition, a group, a transaction. */
export const name: Schema = { type: 'string', minLength: 1, maxLength: MAX_NAME_CHARACTERS, pattern: STORABLE, examples: ['a name'] }
export const uuid: Schema = { type: 'string', format: 'uuid' }
/** A UUID, or an empty text for none. */
export const uuidOrEmpty: Schema = { type: 'string', pattern: '^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$' }
/** A time as answers have it: UTC. */
export const time: Schema = { type: 'string', format: 'date-time' }
/** A time as requests may have it. */
export const givenTime: Schema = {
  type: 'string',
  pattern: ISO_TIME.source,
  description: 'A time as ISO 8601, in UTC unless it names an offset; a date alone is its midnight',
  examples: ['2026-01-31T08:00:00Z']
}

/** Parameters of a query, by their names. Whoever reads them takes an empty one for one that is not there. */
export function query (properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema {
  return object(withoutExamples(properties), required)
}

/** Parameters of a path, by their names. */
export function params (properties: Readonly<Record<string, Schema>>): Schema {
  return object(withoutExamples(properties))
}

/** Pages that show a description fill parameters in with their examples, and nobody wants to delete what is called so. */
function withoutExamples (properties: Readonly<Record<string, Schema>>): Record<string, Schema> {
  return Object.fromEntries(Object.entries(properties).map(([name, { examples: _examples, ...schema }]) => [name, schema]))
}

/** A name in a query; it may be empty. */
export function nameParameter (description: string): Schema {
  return { type: 'string', maxLength: MAX_NAME_CHARACTERS, pattern: STORABLE, examples: ['a name'], description }
}

/** A name in a body that may be empty; what is no text at all counts as not given. */
export function looseName (description: string): Schema {
  return { maxLength: MAX_NAME_CHARACTERS, pattern: STORABLE, examples: ['a name'], description: `${description} What is no text counts as not given.` }
}

/** A text in a query that means something or nothing: none is refused. */
export function textParameter (description: string): Schema {
  return { type: 'string', description }
}

/** A time in a query; it may be empty. */
export function timeParameter (description: string): Schema {
  return { ...givenTime, pattern: `^$|${ISO_TIME.source}`, description: `${description} ${String(givenTime.description)}.` }
}

/** One word of several in a query; it may be empty. */
export function wordParameter (words: readonly string[], description: string): Schema {
  return { type: 'string', enum: [...words, ''], description }
}

/** What `Query.within` reads: no value is refused. */
export function wholeParameter ({ default: fallback, min, max }: Whole, description: string): Schema {
  return {
    type: ['integer', 'string'],
    default: fallback,
    description: `${description} From ${min} to ${max}: what is beyond counts as the nearest of them, what is no number as the default.`
  }
}

/** What `Query.flag` reads: no value is refused. */
export function flagParameter (description: string): Schema {
  return { type: ['boolean', 'string'], default: false, description: `${description} \`true\` and \`1\` are true, anything else is false.` }
}

/** What `Query.page` reads, with its parameters. */
export function page (defaultLimit: number, most = MOST_ENTRIES): Record<'limit' | 'offset', Schema> {
  const { limit, offset } = pageNumbers(defaultLimit, most)
  return { limit: wholeParameter(limit, 'Most entries of the answer.'), offset: wholeParameter(offset, 'Entries that are left out before them.') }
}

/** A body of which nothing is required: what is no object counts as one without fields. */
export function looseObject (properties: Readonly<Record<string, Schema>>): Schema {
  return { properties }
}

/** For a body that may be left out. */
export function optionalBody (schema: Schema): Schema {
  return { ...schema, [OPTIONAL_BODY]: true }
}

/** What messages have besides that are part of a trace. */
export const OF_TRACE: Readonly<Record<string, Schema>> = {
  traceparent: described(text, 'The trace that it is part of, as W3C Trace Context has it'),
  tracestate: described(text, 'What belongs to `traceparent`')
}

/** What a list says about the part of it that was asked for. */
export const pagination: Schema = object({ limit: count, offset: count })

/** What a body that has to be there may have wrong with it, whatever is in it. */
export const BODY_ERRORS = ['RGT_BODY_EMPTY', 'RGT_BODY_NOT_JSON', 'RGT_BODY_NOT_UTF8', 'RGT_BODY_TOO_DEEP', 'RGT_BODY_TOO_LARGE', 'RGT_FIELD_INVALID'] as const satisfies readonly ErrorCode[]
/** The same of a body that may be left out. */
export const OPTIONAL_BODY_ERRORS = ['RGT_BODY_NOT_JSON', 'RGT_BODY_NOT_UTF8', 'RGT_BODY_TOO_DEEP', 'RGT_BODY_TOO_LARGE', 'RGT_FIELD_INVALID'] as const satisfies readonly ErrorCode[]
/** What a route may answer that asks the database. */
export const DATABASE_ERRORS = ['RGT_DATABASE_AWAY', 'RGT_DATABASE_BUSY', 'RGT_DATABASE_SLOW', 'RGT_OUTCOME_UNKNOWN', 'RGT_OVERLOADED', 'RGT_SHUTTING_DOWN'] as const satisfies readonly ErrorCode[]
