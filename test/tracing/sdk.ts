// An OpenTelemetry SDK in the process of a test, as a host sets one up.
import { context, propagation, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'

export interface Sdk {
  /** The spans that have ended since this was last asked. */
  taken: () => ReadableSpan[]
}

/** Sets it up for the whole process. */
export function setUpSdk (): Sdk {
  const exporter = new InMemorySpanExporter()
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  return {
    taken: () => {
      const spans = exporter.getFinishedSpans().slice()
      exporter.reset()
      return spans
    }
  }
}

/** The context of a span, as a header says it. */
export function headerOf (span: ReadableSpan): string {
  const { traceId, spanId } = span.spanContext()
  return `00-${traceId}-${spanId}-01`
}
