import type { Test } from 'tap'
import { bufferFolder } from '../failover/support.ts'
import { parseExposition } from '../routes/metrics-text.ts'
import type { Family } from '../routes/metrics-text.ts'
import { startService } from '../support.ts'

/** The families of a running service in which everything has happened once that makes one appear. */
export async function familiesOfBusyService (t: Test): Promise<Map<string, Family>> {
  const service = await startService(t, { fileBufferDir: bufferFolder(t), metricsSampleMs: 20, metricsAggregateSeconds: 3600 })
  const items = [1, 2, 3].map(payload => ({ queue: 'orders', payload }))
  await service.push(items)
  const { messages: [first, second] } = (await service.pop('orders?batch=2&consumerGroup=billing')).json
  await service.call('POST', '/api/v1/ack', { ...first, consumerGroup: 'billing', status: 'completed' })
  await service.call('POST', '/api/v1/ack', { ...second, consumerGroup: 'billing', status: 'dlq' })
  await service.call('POST', '/api/v1/stats/refresh')
  const { status, text } = await service.call('GET', '/metrics/prometheus')
  if (status !== 200) throw new Error(`${status} ${text}`)
  return parseExposition(text)
}
