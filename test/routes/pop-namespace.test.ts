import t from 'tap'
import { startService } from '../support.ts'
import { PATIENT, pushIds } from './consumer.ts'

t.test('pop by namespace and task', async t => {
  const service = await startService(t)
  const pop = async (query: string): Promise<any> => (await service.call('GET', `/api/v1/pop?${query}`)).json

  t.test('takes from queues with both labels', async t => {
    await pushIds(service, 'shop.bill', ['bill'])
    await pushIds(service, 'shop.ship', ['ship'])
    await pushIds(service, 'farm.bill', ['farm'])
    const both = await pop('namespace=shop&task=ship&batch=10')
    t.equal(both.queue, 'shop.ship')
    t.same(both.messages.map((message: any) => [message.queue, message.transactionId]), [['shop.ship', 'ship']])
    t.equal((await pop('task=bill&batch=10')).messages.length, 1)
    t.equal((await pop('task=bill&batch=10')).messages.length, 1)
    t.same((await pop('task=bill&batch=10')).messages, [], 'both queues with the task are leased')
    t.same((await pop('namespace=shop&batch=10')).messages, [])
    t.equal((await pop('namespace=shop&batch=10&consumerGroup=g')).messages.length, 1, 'another group has its own cursors')
  })

  t.test('serves queues by falling priority', async t => {
    for (const [queue, priority] of [['prio.low', -5], ['prio.high', 10], ['prio.middle', 0], ['prio.highest', 900]] as const) {
      await service.call('POST', '/api/v1/configure', { queue, namespace: 'prio', task: 'work', options: { priority } })
      await pushIds(service, queue, [queue])
    }
    const served: string[] = []
    for (let i = 0; i < 4; i++) served.push((await pop('namespace=prio')).messages[0].queue)
    t.same(served, ['prio.highest', 'prio.high', 'prio.middle', 'prio.low'])
  })

  t.test('serves one pop from one queue', async t => {
    await pushIds(service, 'one.a', ['a'])
    await pushIds(service, 'one.b', ['b'])
    t.equal((await pop('namespace=one&batch=10&partitions=10')).messages.length, 1)
  })

  t.test('uses the labels of the configuration rather than the name', async t => {
    await service.call('POST', '/api/v1/configure', { queue: 'dotted.name', namespace: 'elsewhere', task: null })
    await pushIds(service, 'dotted.name', ['x'])
    t.same((await pop('namespace=dotted')).messages, [])
    t.equal((await pop('namespace=elsewhere')).messages.length, 1)
  })

  t.test('wakes a waiting pop for a queue that appears later', async t => {
    const waiting = pop(`namespace=coming&${PATIENT}`)
    const other = pop(`task=soon&consumerGroup=g&${PATIENT}`)
    await pushIds(service, 'coming.soon', ['x'])
    t.equal((await waiting).messages[0].transactionId, 'x')
    t.equal((await other).messages[0].transactionId, 'x')
  })

  t.test('asks for one of the two', async t => {
    for (const query of ['', 'namespace=&task=']) {
      const { status, json } = await service.call('GET', `/api/v1/pop?${query}`)
      t.equal(status, 400)
      t.match(json, { code: 'RGT_FIELD_INVALID', field: 'namespace' })
    }
  })
})
