// Sets up OpenTelemetry before a server starts, which then makes spans of its requests (docs/operations/tracing.md):
//
//   npm install @opentelemetry/api @opentelemetry/context-async-hooks @opentelemetry/core @opentelemetry/sdk-trace-base
//   NODE_OPTIONS="--import ./examples/tracing.mjs" SPANS_FILE=spans.jsonl npm start
//
// Spans go to a file, one line of JSON each. For a collector put the exporter of @opentelemetry/exporter-trace-otlp-proto, in a
// BatchSpanProcessor, in its place.
import { appendFileSync } from 'node:fs'
import { SpanKind, context, propagation, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core'
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'

const file = process.env.SPANS_FILE ?? 'spans.jsonl'

const fileExporter = {
  export (spans, done) {
    for (const span of spans) {
      const { traceId, spanId } = span.spanContext()
      const line = {
        name: span.name,
        kind: SpanKind[span.kind],
        traceId,
        spanId,
        parentSpanId: span.parentSpanContext?.spanId,
        attributes: span.attributes,
        links: span.links.map(({ context }) => ({ traceId: context.traceId, spanId: context.spanId })),
        status: span.status
      }
      appendFileSync(file, `${JSON.stringify(line)}\n`)
    }
    done({ code: ExportResultCode.SUCCESS })
  },
  async shutdown () {}
}

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
propagation.setGlobalPropagator(new W3CTraceContextPropagator())
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(fileExporter)] }))
