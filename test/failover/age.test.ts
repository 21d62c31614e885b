import t from 'tap'
import { connect, databaseUrl } from '../support.ts'
import { startBuffered, statuses, takeAll, untilDrained } from './support.ts'

for (const what of ['its commit was not heard of', 'the connection was cut before it']) {
  t.test(`a batch of the drain that is tried again after a long outage: ${what}`, async t => {
    const { service, proxy } = await startBuffered(t)
    await service.call('POST', '/api/v1/configure', { queue: 'q', options: { dedupWindowSeconds: 2 } })
    await service.push([{ queue: 'q', payload: 'stored', transactionId: 'a' }])
    await proxy.leave()
    t.strictSame(statuses(await service.push([{ queue: 'q', payload: 'a again', transactionId: 'a' }, { queue: 'q', payload: 'b', transactionId: 'b' }])), ['buffered', 'buffered'])
    const caught = proxy.catch(what === 'its commit was not heard of' ? 'answer' : 'statement', /push_v2/)
    await proxy.comeBack()
    const held = await caught
    await proxy.leave()
    held.cut()
    await connect(t, databaseUrl())`select pg_sleep(5)`
    await proxy.comeBack()
    await untilDrained(service)
    t.strictSame(await takeAll(service, 'q'), ['stored', 'b'])
  })
}
