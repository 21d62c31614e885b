import { ProxyTracerProvider, isSpanContextValid, trace } from '@opentelemetry/api'
import type { Span } from '@opentelemetry/api'
import type { TraceContext } from '../trace-context/trace-context.ts'

// The tracer by which it is found out whether there are any.
const NAME = 'regent'

/** Whether an OpenTelemetry SDK has been set up in this process: it has registered where tracers come from. */
export function hasTracerProvider (): boolean {
  const provider = trace.getTracerProvider()
  // Another copy of the API package is there because somebody registers with it.
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer(NAME) !== undefined
}

/** The context of a span, for what it causes; null for one that belongs to no trace. */
export function contextOfSpan (span: Span | undefined): TraceContext | null {
  const context = span?.spanContext()
  if (context === undefined || !isSpanContextValid(context)) return null
  const { traceId, spanId, traceFlags, traceState } = context
  const tracestate = traceState?.serialize() ?? ''
  return { traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`, tracestate: tracestate === '' ? null : tracestate }
}

/** The context of the span that is active where this is called; null without one. */
export function activeTraceContext (): TraceContext | null {
  return contextOfSpan(trace.getActiveSpan())
}

/** What a log line says of the span in which it is written; nothing outside of one. */
export function spanFields (): { trace_id?: string, span_id?: string } {
  const context = trace.getActiveSpan()?.spanContext()
  return context === undefined ? {} : { trace_id: context.traceId, span_id: context.spanId }
}
