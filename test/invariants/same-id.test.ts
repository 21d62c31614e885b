import t from 'tap'
import { ack, configure, numbers, pop, push, startPair } from './support.ts'

t.test('two messages with one id in one lease are both acknowledged by a batch that names both', async t => {
  const pair = await startPair(t)
  for (const [queue, service] of [['here', pair.first], ['elsewhere', pair.second]] as const) {
    await configure(pair.first, queue, { leaseTime: 1, dedupWindowSeconds: 0 })
    await push(pair.first, numbers(2).map(payload => ({ queue, transactionId: 'x', payload })))
    const messages = await pop(pair.first, `${queue}?batch=2`)
    t.equal(messages.length, 2)
    t.match(await ack(service, messages), [{ success: true }, { success: true }])
    t.strictSame(await pop(pair.second, `${queue}?wait=true&timeout=3000`), [], 'neither is delivered again')
  }
})
