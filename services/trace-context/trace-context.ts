import { fieldError } from '../json/field-error.ts'
import { readTraceparent } from './traceparent.ts'
import { readTracestate } from './tracestate.ts'

/** Of which trace a message is part, as W3C Trace Context says it: both texts are valid, and of bounded length. */
export interface TraceContext {
  traceparent: string
  tracestate: string | null
}

/**
 * The context that the headers of a request bring; null when they bring none. What is malformed counts as not there (section
 * 4.3). Node joins several headers of a name by commas: that is what several `tracestate` mean, and makes no `traceparent` of several.
 */
export function contextOfHeaders ({ traceparent: parent, tracestate: state }: Readonly<Record<string, string | string[] | undefined>>): TraceContext | null {
  const traceparent = typeof parent === 'string' ? readTraceparent(parent) : null
  if (traceparent === null) return null
  return { traceparent, tracestate: typeof state === 'string' ? readTracestate(state) : null }
}

/** A context as headers. */
export function headersOfContext (context: TraceContext | null): { traceparent?: string, tracestate?: string } {
  if (context === null) return {}
  const { traceparent, tracestate } = context
  return { traceparent, ...(tracestate === null ? {} : { tracestate }) }
}

/** A field as a body has it: `undefined` is absent or null, `null` is something else than a string. */
export type GivenField = string | null | undefined

/**
 * The context that a message's own fields give it; undefined when they give it none. A `tracestate` belongs to the `traceparent`
 * beside it and means nothing without; as it is other vendors' data, one that is malformed is left out rather than refused.
 * @param path tells where a field stands, for errors
 * @throws FieldError for a `traceparent` that is none, and for fields that are not strings
 */
export function contextOfFields (parent: GivenField, state: GivenField, path: (field: string) => string): TraceContext | undefined {
  if (parent === null) throw fieldError(path('traceparent'), 'type', 'must be a string')
  if (state === null) throw fieldError(path('tracestate'), 'type', 'must be a string')
  if (parent === undefined || parent === '') return undefined
  const traceparent = readTraceparent(parent)
  if (traceparent === null) {
    throw fieldError(path('traceparent'), 'format', 'must be a W3C traceparent: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case and not all zero')
  }
  return { traceparent, tracestate: state === undefined ? null : readTracestate(state) }
}
