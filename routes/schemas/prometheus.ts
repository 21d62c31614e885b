import type { Operation } from './shared.ts'

export const prometheusSchema: Operation = {
  operationId: 'getPrometheusMetrics',
  summary: 'Metrics for Prometheus',
  tags: ['status'],
  response: {
    200: { description: 'Its text format, version 0.0.4', content: { 'text/plain': { schema: { type: 'string' } } } }
  }
}
