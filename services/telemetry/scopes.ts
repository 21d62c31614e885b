import { ROOT_CONTEXT, context, createContextKey, trace } from '@opentelemetry/api'
import type { Context, Link } from '@opentelemetry/api'

const LINKS = createContextKey('regent links')
/** Links of a span: what SDKs keep unless told otherwise. */
export const MOST_LINKS = 128

/** For whom work is done: a request, as OpenTelemetry's context says it. */
export type Scope = Context

/**
 * Requests are served together: one call of the database does what many of them wait for, begun by whichever event came last.
 * So that it is not taken for a part of that event's request, each request's scope is noted where it begins to wait, and
 * calls are made within the scopes of those that they serve.
 */
export class Scopes {
  /** Of whoever runs now. */
  current (): Scope {
    return context.active()
  }

  /** Run something for these: spans made within it are the first one's, with links to the others; with nobody, they are nobody's. */
  run<T> (scopes: readonly Scope[], work: () => T): T {
    const first = scopes.find(scope => trace.getSpan(scope) !== undefined) ?? ROOT_CONTEXT
    return context.with(scopes.length > 1 ? first.setValue(LINKS, linksOf(first, scopes)) : first, work)
  }
}

/** Links for a span that is made now. */
export function currentLinks (): Link[] {
  return context.active().getValue(LINKS) as Link[] | undefined ?? [] // it is set above alone
}

function linksOf (first: Scope, scopes: readonly Scope[]): Link[] {
  const own = trace.getSpanContext(first)?.spanId
  const links = new Map<string, Link>()
  for (const scope of scopes) {
    const spanContext = trace.getSpanContext(scope)
    if (spanContext !== undefined && spanContext.spanId !== own && links.size < MOST_LINKS) links.set(spanContext.spanId, { context: spanContext })
  }
  return [...links.values()]
}
