import t from 'tap'
import type { RegentOptions } from '../../index.ts'
import { takeOne } from '../routes/consumer.ts'
import { startService, until } from '../support.ts'
import { isRefused } from './table.ts'

// Any process has more than a megabyte.
const BOUNDS: Partial<RegentOptions>[] = [{ maxHeapUsedMb: 1 }, { maxRssMb: 1 }]

for (const bound of BOUNDS) {
  const [option = ''] = Object.keys(bound)

  t.test(`a process beyond ${option} takes no more work, and what drains work goes on`, async t => {
    const roomy = await startService(t)
    const service = await startService(t, { ...bound, databaseUrl: roomy.databaseUrl })
    // Looked at once a second.
    await until(async () => (await service.call('POST', '/api/v1/configure', { queue: 'q' })).status === 503)
    isRefused(t, option, await service.push([{ queue: 'q', payload: 'refused' }]))
    for (const [method, path, body] of [
      ['POST', '/api/v1/transaction', { operations: [{ type: 'push', queue: 'q', payload: 'refused' }] }],
      ['POST', '/api/v1/configure', { queue: 'q' }],
      ['GET', '/api/v1/resources/queues', undefined]
    ] as const) isRefused(t, option, await service.call(method, path, body), path)

    t.equal((await roomy.push([{ queue: 'q', payload: 'taken' }])).status, 201, 'by default there is room')
    const { data, transactionId, partitionId, leaseId } = await takeOne(service, 'q?wait=true&timeout=60000')
    t.equal(data, 'taken', 'and nothing that was refused')
    t.equal((await service.call('POST', `/api/v1/lease/${leaseId}/extend`, {})).status, 200)
    t.match(await service.call('POST', '/api/v1/ack', { transactionId, partitionId, leaseId }), { status: 200, json: [{ success: true }] })
    for (const path of ['/health', '/metrics', '/metrics/prometheus']) t.equal((await service.call('GET', path)).status, 200, path)
  })
}
