import type { FastifyInstance } from 'fastify'
import { hasTracerProvider } from '../services/telemetry/active.ts'

/**
 * Spans of requests for `npm start`, where an OpenTelemetry SDK was set up before it (docs/operations/tracing.md); without one
 * nothing is loaded. One for each request, none for its hooks and its handler.
 */
export async function addRequestSpans (app: FastifyInstance): Promise<void> {
  // Who sets up the SDK may have told this instrumentation to look for applications by itself.
  if (!hasTracerProvider() || app.hasRequestDecorator('opentelemetry')) return
  const { FastifyOtelInstrumentation } = await import('@fastify/otel')
  await app.register(new FastifyOtelInstrumentation({ instrumentHooks: false, instrumentHandler: false }).plugin())
}
