import { trace } from '@opentelemetry/api'
import type { Span } from '@opentelemetry/api'
import type {} from '@fastify/otel'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { packageVersion } from '../services/package-root.ts'
import type { Delivery, PopRequest } from '../services/poll/types.ts'
import { contextOfSpan, hasTracerProvider } from '../services/telemetry/active.ts'
import { DatabaseSpans } from '../services/telemetry/database-spans.ts'
import { describeReceive, describeSend } from '../services/telemetry/messaging.ts'
import { Scopes } from '../services/telemetry/scopes.ts'
import { contextOfHeaders } from '../services/trace-context/trace-context.ts'
import type { TraceContext } from '../services/trace-context/trace-context.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Spans of what is done here; null where no OpenTelemetry SDK has been set up. */
    telemetry: Telemetry | null
  }
}

// What @fastify/otel calls every span of a request.
const UNNAMED = 'request'

/** For `config` of routes that are asked all the time by machines which only want to know how the service is. */
export const untraced = { otel: false } as const

/** What there is to be said about requests in their spans. Those are made by @fastify/otel, or by what else the application has for it. */
export class Telemetry {
  readonly scopes = new Scopes()
  readonly database = new DatabaseSpans(trace.getTracer('regent', packageVersion()))
  readonly #hasRequestSpans: boolean

  /** @param hasRequestSpans whether @fastify/otel makes a span for each request */
  constructor (hasRequestSpans: boolean) {
    this.#hasRequestSpans = hasRequestSpans
  }

  /** The span of a request; undefined when it has none. */
  spanOf (request: FastifyRequest): Span | undefined {
    return (this.#hasRequestSpans ? request.opentelemetry().span : null) ?? trace.getActiveSpan()
  }

  /** Spans are grouped by their names: those of a route have one. */
  name (request: FastifyRequest): void {
    const span = this.spanOf(request) as (Span & { name?: string }) | undefined // spans of the SDK have it
    const { method, routeOptions: { url } } = request
    if (span?.name === UNNAMED) span.updateName(url === undefined ? method : `${method} ${url}`)
  }

  /** These are the messages of a request. */
  sent (request: FastifyRequest, messages: readonly { queue: string }[]): void {
    const span = this.spanOf(request)
    if (span !== undefined) describeSend(span, messages)
  }

  /** This is what a request is answered. */
  received (request: FastifyRequest, wanted: PopRequest, delivery: Delivery | null): void {
    const span = this.spanOf(request)
    if (span !== undefined) describeReceive(span, wanted, delivery)
  }
}

/** The trace context for what a request brings: that of its own span, or else what its headers say; null without either. */
export function contextOf (app: FastifyInstance, request: FastifyRequest): TraceContext | null {
  const own = app.telemetry === null ? null : contextOfSpan(app.telemetry.spanOf(request))
  return own ?? contextOfHeaders(request.headers)
}

async function telemetryPlugin (app: FastifyInstance): Promise<void> {
  const telemetry = hasTracerProvider() ? new Telemetry(app.hasRequestDecorator('opentelemetry')) : null
  app.decorate('telemetry', telemetry)
  if (telemetry === null) return
  app.addHook('onRequest', (request, _reply, done) => {
    telemetry.name(request)
    done()
  })
}

export default fp(telemetryPlugin, { name: 'regent-telemetry', fastify: '5.x' })
