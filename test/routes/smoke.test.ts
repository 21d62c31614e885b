import t from 'tap'
import { startService } from '../support.ts'

t.test('push, pop, ack', async t => {
  const service = await startService(t)
  const pushed = await service.push([{ queue: 'a.b', payload: { n: 1 } }, { queue: 'a.b', partition: 'p', payload: 2, transactionId: 'x' }])
  console.error(pushed.status, pushed.text)
  const popped = await service.pop('a.b?batch=10&partitions=5&wait=true&timeout=1000')
  console.error(popped.status, popped.text)
  const acked = await service.call('POST', '/api/v1/ack/batch', { acknowledgments: popped.json.messages })
  console.error(acked.status, acked.text)
  console.error((await service.pop('a.b?batch=10')).text)
  console.error((await service.call('GET', '/health')).text)
  console.error((await service.call('POST', '/api/v1/transaction', { operations: [{ type: 'push', items: [{ queue: 'z', payload: 1.10 }] }] })).text)
  console.error((await service.call('POST', '/api/v1/configure', { queue: 'z' })).text)
  console.error((await service.call('DELETE', '/api/v1/resources/queues/z')).text)
  console.error((await service.call('DELETE', '/api/v1/resources/queues/z')).text)
})
